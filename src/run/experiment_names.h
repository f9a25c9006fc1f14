// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace thermoe {

// The words of an experiment file; a word's position is the value of its enumeration.
inline const std::vector<std::string> kExpertTypes = {"simple", "quantized", "mixed"};
inline const std::vector<std::string> kWorkloads = {"standard", "high_complexity", "small_batch",
                                                    "large_batch"};
inline const std::vector<std::string> kDisturbances = {"background", "ambient", "sensor_dropout",
                                                       "sensor_freeze", "sensor_nan"};
inline const std::vector<std::string> kDecoders = {"model", "trace"};
inline const std::vector<std::string> kMachines = {"simulated", "gpu"};
inline const std::vector<std::string> kArrivals = {"fixed_rate", "saturated"};
inline const std::vector<std::string> kArrivalLaws = {"poisson", "bursty", "day_cycle", "recorded"};
inline const std::vector<std::string> kTokenLaws = {"fixed", "geometric", "log_normal"};

}  // namespace thermoe
