// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "topk_route_oracle.h"

namespace thermoe {

/// topk_route as an engine calls it: every slot filled, no kept mass or order, and logits sampled.
/// Owns what the call reads and writes.
struct EngineCall {
  RouteProblem problem{};           ///< all but its logits
  std::vector<std::byte> logits{};  ///< [tokens, experts] of problem.type
  int rows = 0;                     ///< of the sample
  std::int64_t gap = 0;             ///< logits between its two slots
  std::int32_t slot = -1;
  bool masked = false;  ///< wants masked logits too

  std::size_t logit_bytes() const { return problem.type == FloatType::kF32 ? 4 : 2; }
  /// Of both slots and what lies between them.
  std::size_t sample_bytes() const;
  std::int64_t distance() const { return std::int64_t{rows} * problem.experts + gap; }
};

struct EngineResult {
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
  std::vector<std::int32_t> counts{};
  std::vector<std::byte> sample{};  ///< 0xff where nothing was written
  std::vector<float> masked{};

  bool operator==(const EngineResult&) const = default;
};

/// A call whose logits are any bits at all, NaN of every kind among them.
EngineCall with_random_bits(RouteProblem problem, std::mt19937& random);
/// With the problem's own logits.
EngineCall with_own_logits(RouteProblem problem);

EngineResult run(const KernelBackend& backend, const EngineCall& call);

/// What the sample is to hold.
std::vector<std::byte> expected_sample(const EngineCall& call);

}  // namespace thermoe
