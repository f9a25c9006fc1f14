// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/router_spec.h"
#include "kernels/aligned_vector.h"
#include "kernels/float_type.h"

namespace thermoe {

/// Largest number of experts a layer may have.
inline constexpr int kMaxExperts = 1024;
/// What `TopkRouteArgs::masked_logits` holds for an expert that no token runs; experts that only
/// other tokens run hold half of it. Finite in f32 and bf16, and no engine gives it a weight.
inline constexpr float kMaskedLogit = -1e30F;

/// Scratch memory of `topk_route`, kept between calls: a call with no more experts than an earlier
/// one, or than `reserve` was told, allocates nothing. One a thread. Some 350 bytes an expert, as
/// the tokens of a decode batch are worked off side by side.
class TopkRouteWorkspace {
 public:
  /// Makes room for layers of up to this many experts.
  void reserve(int experts);

  /// For backends. Sized by `reserve`.
  AlignedVector<float> values;
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> flags;
};

/// Gate logits [tokens, experts], row-major. They are widened to f32 before anything else.
struct GateLogits {
  GateLogits() = default;
  GateLogits(const float* f32) : data(f32) {}  // NOLINT(google-explicit-constructor): f32 is usual
  static GateLogits bf16(const std::uint16_t* bits) { return {bits, FloatType::kBf16}; }
  static GateLogits f16(const std::uint16_t* bits) { return {bits, FloatType::kF16}; }

  const void* data = nullptr;
  FloatType type = FloatType::kF32;

 private:
  GateLogits(const void* values, FloatType values_type) : data(values), type(values_type) {}
};

/// What a plan asks of one layer.
struct PlanLevers {
  std::optional<int> k{};              ///< experts a token, 1..experts; absent: the model's own
  int k_min = 1;                       ///< 1..k; a token's k_min best experts are never priced out
  std::span<const int> k_per_token{};  ///< [tokens], each 1..slots, replaces k; empty: k
  std::span<const int> k_min_per_token{};     ///< [tokens], each 1..k, replaces k_min; empty: k_min
  std::span<const float> selection_bias{};    ///< b [experts] in units of u, finite; empty: none
  std::span<const float> activation_price{};  ///< [experts] in units of u, 0..inf; empty: none
};

/// One layer's routing problem: the batch is all tokens of the call. Every pointer is the caller's.
struct TopkRouteArgs {
  GateLogits logits{};  ///< NaN: never picked; +inf shares all the mass; -inf: probability 0
  int tokens = 0;       ///< rows, >= 0
  /// The first so many rows are tokens, the others padding: no part of the batch, slots empty, kept
  /// mass 1. 0..tokens; absent: all.
  std::optional<int> valid{};
  const RouterSpec* router = nullptr;  ///< the model's side; at most kMaxExperts experts
  int layer = 0;                       ///< whose row of the router's own bias holds
  PlanLevers plan{};                   ///< ours

  std::int32_t* expert = nullptr;  ///< out [tokens, slots]
  float* weight = nullptr;         ///< out [tokens, slots]; 0 in an empty slot
  int slots = 0;                   ///< row length of `expert` and `weight`, >= every k
  /// What an empty slot of `expert` holds: -1, or an expert that runs anyway, the token's best (of
  /// a row without picks the lowest id that runs, else 0), for engines that know no empty slot.
  bool fill_slots = false;
  std::int32_t* counts = nullptr;  ///< out [experts]: tokens an expert received; no filled slot
  float* kept_mass = nullptr;      ///< out [tokens] or null: see below
  float* masked_logits = nullptr;  ///< out [tokens, experts] or null: see below
  TopkRouteWorkspace* workspace = nullptr;
};

/// Picks k experts a token and gives them mixing weights (docs/theory.md, routing and activation
/// pricing). p = the router's score of the logits. The model alone, the *baseline*, would pick the
/// router's k best by p + beta, inside the token's own groups; s = sum of their p; u = p / s.
/// Selection goes by p + beta - b * s inside the same groups: by the logits themselves where there
/// is neither beta nor b, so that it is plain top-k of the logits bit for bit and tells apart what
/// p rounds to the same number. With prices:
///   U = union of the tokens' top-k; G = union of each token's k_min best;
///   loss_e = sum over the tokens that picked e of max(0, v_e - v_next), next = the token's best
///            expert of U outside its own top-k (0 if none); v = u, or (p + beta) / s where the
///            router's losses are biased;
///   Active = G + {e in U : loss_e >= price_e}; each token takes its k best active experts (all, if
///   fewer). Prices of 0, or k_min = k, give the picks without prices bit for bit. Prices that are
///   all infinite leave G (OPPORTUNISTIC), and no loss is worked out.
/// "Best" is by selection score everywhere. Ties: lowest id, of groups too.
///
/// Weights are the unbiased p of the chosen experts over the router's denominator, times its scale,
/// in slot order (best selection score first); where the denominator is 0 they share equally.
/// kept_mass = sum of the chosen u, at most 1; exactly 1 without b and prices at the router's k,
/// and for a token that has nothing to choose from (every logit NaN).
///
/// masked_logits is for engines that route for themselves: a chosen expert keeps its logit (at
/// least kMaskedLogit / 4), others sink to kMaskedLogit, or to half of it if they run for another
/// token. Their own top-k over it, without a selection bias, then takes the chosen ones, with the
/// weights that its model gives them (`kReference` cannot be had this way). An engine takes k
/// experts of any row: a token with fewer, and padding, gets further ones at weight 0. One that
/// sorts logits takes such as run anyway while there are any; one that sorts scores, all 0 here,
/// may wake others. They cost time and joules, which only a plan that leaves k can prevent.
///
/// Deterministic; less than 16 KiB of stack. Throws PreconditionError for arguments outside the
/// ranges above.
void topk_route(const TopkRouteArgs& args);

}  // namespace thermoe
