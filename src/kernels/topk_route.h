// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/router_spec.h"
#include "core/routing_plan.h"
#include "kernels/backend.h"
#include "kernels/expert_order.h"
#include "kernels/float_type.h"
#include "kernels/step_state.h"

namespace thermoe {

/// Largest number of experts a layer may have.
inline constexpr int kMaxExperts = 1024;
/// What `TopkRouteArgs::masked_logits` holds for an expert that no token runs; experts that only
/// other tokens run hold half of it. Finite in f32 and bf16, and no engine gives it a weight.
inline constexpr float kMaskedLogit = -1e30F;

/// Gate logits, row-major. They are widened to f32 before anything else.
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

/// A model's router as the op sees it in one layer. A view, and a value: a captured graph keeps it.
struct RouterView {
  RouterView() = default;
  /// `bias` [experts] is beta of the layer where the op reads it; null: the router has none.
  RouterView(const RouterSpec& spec, const float* bias);
  /// Of a spec in host memory, with its own beta of the layer: for kCpu. On a device beta is a copy
  /// there, for the constructor above.
  RouterView(const RouterSpec& spec, int layer);

  int experts = 0;  ///< 1..kMaxExperts
  int k = 0;
  ScoreFunction score = ScoreFunction::kSoftmax;
  int groups = 1;
  int groups_kept = 1;
  WeightDenominator denominator = WeightDenominator::kPicked;
  float routed_scale = 1.0F;
  LossScores loss_scores = LossScores::kUnbiased;
  const float* bias = nullptr;  ///< beta [experts], finite

  bool group_limited() const { return groups_kept < groups; }
};

/// Where a call leaves gate logits for the control plane: in one of two slots, so that a reader has
/// one while the next call fills the other. Pointers, distance and rows are a captured graph's for
/// good; the word `slot` is read where the op runs, and says for each replay which slot it fills:
/// copied there in the stream before it, as a StepState is. A slot is whole once the call is over
/// in the stream, and stays as it is until a call whose word names it again; so whoever reads it
/// does so in the same stream, or before the word names it.
struct LogitSlots {
  void* logits = nullptr;     ///< out [2, rows, experts] or null: none; bits and type of the call's
                              ///< logits, and none of the memory that these lie in
  std::int64_t distance = 0;  ///< logits from the first slot to the second, >= rows * experts
  int rows = 0;               ///< tokens of a slot, >= 0; later ones and padding are not written
  const std::int32_t* slot = nullptr;  ///< 0 or 1; any other number: nothing is written
};

/// One layer's routing problem. Pointers are to host memory for Backend::kCpu, to device memory
/// otherwise; what lies there may change between two replays of a captured graph.
struct TopkRouteArgs {
  GateLogits logits{};  ///< [batches, tokens, experts]. NaN: never picked; +inf shares all the
                        ///< mass; -inf: probability 0
  int tokens = 0;       ///< rows of a batch, >= 0
  int batches = 1;      ///< independent batches, routed as by as many calls; batch b in step + b
  RouterView router{};  ///< the model's side
  /// Ours: k, k_min and the shares of tokens with one more (core/spread_extra.h, over the tokens
  /// that are no padding); b and prices. Values as `find_problem(RoutingPlan)` wants them, k at
  /// most `slots`. Null members: the router's own k, k_min 1, no bias, no price.
  PlanLayerView plan{};
  const StepState* step = nullptr;  ///< null: step 0, no padding, decode

  std::int32_t* expert = nullptr;  ///< out [batches, tokens, slots]
  float* weight = nullptr;         ///< out [batches, tokens, slots]; 0 in an empty slot
  int slots = 0;                   ///< row length of `expert` and `weight`, >= every k
  /// What an empty slot of `expert` holds: -1, or an expert that runs anyway, the token's best (of
  /// a row without picks the lowest id that runs, else 0), for engines that know no empty slot.
  bool fill_slots = false;
  std::int32_t* counts = nullptr;  ///< out [batches, experts]: tokens an expert received; no filled
                                   ///< slot
  float* kept_mass = nullptr;      ///< out [batches, tokens] or null: see below
  float* masked_logits = nullptr;  ///< out [batches, tokens, experts] or null: see below
  ExpertOrder order{};  ///< out or null: the picks sorted for the experts; one batch only
  LogitSlots sample{};  ///< out or null: the batch's logits, as they came; one batch only
  std::byte* workspace = nullptr;  ///< scratch memory, aligned to 64 bytes
  std::size_t workspace_size = 0;  ///< at least topk_route_workspace(...)
};

/// Bytes of scratch memory for calls of so many tokens a batch and slots, or fewer of either. Often
/// 0. kCuda: for the current device, CudaError where there is none.
std::size_t topk_route_workspace(Backend backend, const RouterView& router, int tokens, int slots);

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
/// Rows from StepState's valid_tokens on are padding: no part of the batch, slots empty, kept mass
/// 1. In prefill prices have no effect.
///
/// Deterministic. Throws PreconditionError for arguments outside the ranges above, as far as the
/// host can read them. kCpu: single-threaded, less than 16 KiB of stack. kCuda: asynchronous,
/// allocates nothing, capturable; one launch for up to 64 tokens a batch. It takes a k above
/// `slots` for `slots`. All backends do the same arithmetic in the same order (exp by the same
/// polynomial, no contraction, sums over slots, tokens and lanes in a fixed order): what they give
/// is equal bit for bit.
///
/// kTriton is plain: ids and weights by the model alone, k and slots up to 32. It refuses groups,
/// plan, step, filled slots and all other outputs, `counts` among them, which are to be null. Its
/// exp is the device's: ids may differ where p + beta of two experts are within 1e-6 of each other.
void topk_route(Backend backend, const TopkRouteArgs& args, Stream stream);

}  // namespace thermoe
