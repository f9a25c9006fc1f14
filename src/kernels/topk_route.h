// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/router_spec.h"
#include "kernels/aligned_vector.h"

namespace thermoe {

/// Largest number of experts a layer may have.
inline constexpr int kMaxExperts = 1024;

/// Scratch memory of `topk_route`, kept between calls: a call with no more experts than an earlier
/// one, or than `reserve` was told, allocates nothing. One a thread. Some 280 bytes an expert, as
/// the tokens of a decode batch are worked off side by side.
class TopkRouteWorkspace {
 public:
  /// Makes room for layers of up to this many experts.
  void reserve(int experts);

  /// For backends. Sized by `reserve`.
  AlignedVector<float> values;
  std::vector<std::uint8_t> flags;
};

/// One layer's routing problem: the batch is all tokens of the call. Every pointer is the caller's.
struct TopkRouteArgs {
  const float* logits =
      nullptr;      ///< [tokens, experts] row-major. NaN: never picked; +-inf: allowed
  int tokens = 0;   ///< >= 0
  int experts = 0;  ///< 1..kMaxExperts
  ScoreFunction score = ScoreFunction::kSoftmax;
  bool renormalise = true;             ///< weights of a token sum to 1
  int k = 0;                           ///< experts a token, 1..experts
  int k_min = 1;                       ///< 1..k; a token's k_min best experts are never priced out
  std::span<const int> k_per_token{};  ///< [tokens], each 1..slots, replaces k; empty: k
  std::span<const float> selection_bias{};    ///< [experts] in units of u, finite; empty: none
  std::span<const float> activation_price{};  ///< [experts] in units of u, >= 0; empty: no pricing
  std::int32_t* expert = nullptr;             ///< out [tokens, slots]; -1 in an empty slot
  float* weight = nullptr;                    ///< out [tokens, slots]; 0 in an empty slot
  int slots = 0;                              ///< row length of `expert` and `weight`, >= every k
  std::int32_t* counts = nullptr;             ///< out [experts]: tokens an expert received
  float* kept_mass = nullptr;                 ///< out [tokens] or null: see below
  TopkRouteWorkspace* workspace = nullptr;
};

/// Picks k experts a token and gives them mixing weights (docs/theory.md, activation pricing).
///
/// p = softmax or sigmoid of the logits; s = sum of the token's k largest p; u = p / s. Selection
/// goes by u - b: by the logits themselves where b = 0, so that it is plain top-k of the logits bit
/// for bit and tells apart what p rounds to the same number, else by p - b * s. With prices:
///   U = union of the tokens' top-k; G = union of each token's k_min best;
///   loss_e = sum over the tokens that picked e of max(0, u_e - u_next), next = the token's best
///            expert of U outside its own top-k (0 if none);
///   Active = G + {e in U : loss_e >= price_e}; each token takes its k best active experts (all, if
///   fewer). Prices of 0, or k_min = k, give the picks without prices bit for bit.
/// "Best" is by selection score everywhere; losses are in unbiased u. Ties: lowest id.
///
/// Weights come from the unbiased p of the chosen experts, in slot order (best selection score
/// first); if their p sum to 0 they share equally. kept_mass = sum of the chosen u, at most 1;
/// exactly 1 without bias and prices, and for a token that has nothing to choose from (every logit
/// NaN). Deterministic; less than 16 KiB of stack. Throws PreconditionError for arguments outside
/// the ranges above.
void topk_route(const TopkRouteArgs& args);

}  // namespace thermoe
