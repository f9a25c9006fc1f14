// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "run_rows.h"

namespace thermoe::bench {

/// What a result is of: the machine, and what the caller says of the build.
struct RunFacts {
  std::string device{};
  std::string driver{};
  std::string cuda{};  ///< of the runtime in this program
  std::string torch{};
  std::string commit{};
  std::string command{};
};

/// Bytes a second of the fastest `read` row; 0 where none was timed.
double read_bandwidth(const RunResult& run);

/// docs/results/kernels-h100.json: bench/README.md says what its fields mean.
nlohmann::ordered_json result_json(const RunFacts& facts, const RunResult& run);

}  // namespace thermoe::bench
