// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "core/serving.h"
#include "core/targets.h"
#include "core/units.h"
#include "report/target_statistics.h"

namespace thermoe {

/// Seconds from arrival to first token, each a request; seconds between tokens, each so many
/// tokens.
std::vector<Weighted> first_token_times(const ServingTick& tick);
std::vector<Weighted> token_gaps(const ServingTick& tick);

/// Of the weight; absent without any.
std::optional<double> weighted_mean(const std::vector<Weighted>& values);

/// Tokens of the requests that the tick finished and that were served in time: their first token
/// within 5 % of `to_first_token`, the mean gap to the others within 5 % of `between_tokens`.
/// Without such a target all are.
double tokens_in_time(const ServingTick& tick, const Targets& targets);

/// How long requests and tokens waited.
struct Latency {
  Seconds mean{}, p50{}, p99{};
};
/// Absent where nothing came.
std::optional<Latency> latency_of(const std::vector<Weighted>& values);

}  // namespace thermoe
