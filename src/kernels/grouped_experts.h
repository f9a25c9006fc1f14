// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/expert_bank.h"

namespace thermoe {

/// Scratch memory of `grouped_experts`, kept between calls: a call that needs no more than an
/// earlier one, or than `reserve` was told, allocates nothing. One a thread.
class GroupedExpertsWorkspace {
 public:
  /// Makes room for calls of this size.
  void reserve(const ExpertLayerShape& shape, int tokens, int slots);

  /// For backends. Sized by `reserve`.
  std::vector<std::int32_t> first;  ///< [experts + 1]: an expert's range in `token` and `weight`
  std::vector<std::int32_t> token;  ///< [picks] tokens by expert, ascending
  std::vector<float> weight;        ///< [picks] their mixing weights
  AlignedVector<float> hidden;      ///< [kTokenBlock, padded d_ff] activations of one expert

  /// Tokens of one expert that go through both its matrices together, so that activations stay in
  /// L1.
  static constexpr int kTokenBlock = 32;
};

struct GroupedExpertsArgs {
  const ExpertBank* bank = nullptr;
  const float* hidden = nullptr;         ///< [tokens, d_model] f32 row-major
  int tokens = 0;                        ///< >= 0
  const std::int32_t* expert = nullptr;  ///< [tokens, slots] of topk_route; -1: empty slot
  const float* weight = nullptr;         ///< [tokens, slots]
  int slots = 0;
  const std::int32_t* counts = nullptr;     ///< [experts] of topk_route
  std::span<const std::uint8_t> variant{};  ///< [experts], 0 = f32, 1 = int4; empty: all the bank's
                                            ///< first (f32 if it has it)
  GroupedExpertsWorkspace* workspace = nullptr;
  float* out = nullptr;  ///< [tokens, d_model], overwritten; may not overlap hidden
};

/// out[t] = sum over t's slots of weight * expert(hidden[t]); a token without experts gets zeros.
///
/// Experts run in order of id and a token's sums in that order too, so its result depends on its
/// own picks only, not on the batch. An expert without tokens costs nothing: no weight of it is
/// read. Single-threaded, deterministic on one machine. Throws PreconditionError for ids outside
/// -1..experts-1, counts that disagree with `expert`, or a variant that the bank does not hold.
void grouped_experts(const GroupedExpertsArgs& args);

}  // namespace thermoe
