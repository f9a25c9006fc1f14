// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/route_outputs.h"
#include "kernels/cpu/score_rows.h"
#include "kernels/cpu/token_chunk.h"

// Pricing looks at every token up to three times. A batch of one chunk, which decoding is, keeps
// what it worked out; a larger one works it out anew each time, as a kernel that never allocates
// has no room for it.
namespace thermoe::cpu {

#define THERMOE_CHUNK_KERNEL(width, target)                                               \
  target void ChunkKernel<width>::weigh(const TopkRouteArgs& a, TokenChunk& c) {          \
    weigh_picks<width>(a, c);                                                             \
  }                                                                                       \
  target void ChunkKernel<width>::score(const TopkRouteArgs& a, const PaddedBiases& bias, \
                                        TokenChunk& c) {                                  \
    score_rows<width>(a, bias, c);                                                        \
  }                                                                                       \
  target void ChunkKernel<width>::pick(const TopkRouteArgs& a, const PaddedBiases& bias,  \
                                       int first, int count, TokenChunk& c) {             \
    pick_unpriced<width>(a, bias, first, count, c);                                       \
  }
THERMOE_CHUNK_KERNEL(kAvx512Width, THERMOE_TARGET_AVX512)
THERMOE_CHUNK_KERNEL(kAvx2Width, THERMOE_TARGET_AVX2)
THERMOE_CHUNK_KERNEL(kBaselineWidth, )
#undef THERMOE_CHUNK_KERNEL

namespace {

/// Flags of experts, [padded], and what follows from them.
struct ExpertSet {
  ExpertSet(std::uint8_t* flags, float* mask_row, int padded) : in(flags), mask(mask_row) {
    std::fill_n(in, padded, std::uint8_t{0});
  }

  std::uint8_t* in;
  /// 0 where in, NaN elsewhere: added to keys.
  float* mask;

  void make_mask(int padded) {
    for (int e = 0; e < padded; ++e) mask[e] = in[e] ? 0.0F : kNever;
  }
};

struct Pricing {
  Pricing(const WorkspaceRows& rows, int padded)
      : in_union(rows.in_union, rows.union_mask, padded),
        active(rows.active, rows.active_mask, padded),
        loss(rows.loss) {
    std::fill_n(loss, padded, 0.0F);
  }

  ExpertSet in_union;  ///< U
  ExpertSet active;    ///< G, then G and what is worth its price
  float* loss;
};

/// Calls body(chunk) for all tokens, with each one's unpriced picks in its row.
template <int W, class Body>
THERMOE_INLINE void for_each_chunk(const TopkRouteArgs& a, const PaddedBiases& bias, bool held,
                                   TokenChunk& c, const Body& body) {
  for (int t = 0; t < a.tokens; t += TokenChunk::kTokens) {
    const int count = std::min(TokenChunk::kTokens, a.tokens - t);
    if (!held || a.tokens > TokenChunk::kTokens) ChunkKernel<W>::pick(a, bias, t, count, c);
    body();
  }
}

/// Step 1: collects U and G.
THERMOE_INLINE void add_to_sets(const TopkRouteArgs& a, const TokenChunk& c, Pricing& pricing) {
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = c.id[i];
    const int k_min = std::min(token_k_min(a, c.first + i), c.picked[i]);
    for (int n = 0; n < c.picked[i]; ++n) pricing.in_union.in[id[n]] = 1;
    for (int n = 0; n < k_min; ++n) pricing.active.in[id[n]] = 1;
  }
}

/// Keys of the experts in `set` only.
template <int W>
THERMOE_INLINE void mask_keys(const ExpertSet& set, int i, TokenChunk& c) {
  for (int e = 0; e < c.padded; e += kLanes) {
    store(c.masked(i) + e, load<W>(c.key[i] + e) + load<W>(set.mask + e));
  }
}

/// Biases of the model's router for 16 picks, in units of mass.
template <int W>
THERMOE_INLINE Floats<W> biases_of(const PaddedBiases& bias, const std::int32_t* id, int count,
                                   float whole) {
  float lanes[kLanes] = {};
  for (int j = 0; j < count; ++j) lanes[j] = bias.model[id[j]];
  return load<W>(lanes) * whole;
}

/// Step 2: what the batch would lose without each expert, were only that one missing.
template <int W>
THERMOE_INLINE void add_losses(const TopkRouteArgs& a, const PaddedBiases& bias, TokenChunk& c,
                               Pricing& pricing) {
  const bool biased = bias.model && a.router.loss_scores == LossScores::kBiased;
  std::int32_t next[TokenChunk::kTokens];
  Selection selections[TokenChunk::kTokens];
  for (int i = 0; i < c.count; ++i) {
    mask_keys<W>(pricing.in_union, i, c);
    selections[i] = {c.masked(i), &next[i], 1};
  }
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = c.id[i];
    for (int n = 0; n < c.picked[i]; ++n) c.masked(i)[id[n]] = kNever;
  }
  select_top<W>(std::span(selections, static_cast<std::size_t>(c.count)), c.padded);
  for (int i = 0; i < c.count; ++i) {
    if (!(c.top_mass[i] > 0.0F)) continue;  // no mass to lose
    const Floats<W> x = splat<W>(next[i] >= 0 ? c.logits[i][next[i]] : 0.0F);
    Floats<W> fallback = next[i] >= 0 ? mass_of(a.router.score, x, c.highest[i]) : splat<W>(0.0F);
    if (biased && next[i] >= 0) fallback = fallback + bias.model[next[i]] * c.whole[i];
    const std::int32_t* id = c.id[i];
    for (int n = 0; n < c.picked[i]; n += kLanes) {
      float lost[kLanes];
      const int size = std::min(kLanes, c.picked[i] - n);
      Floats<W> own = load<W>(c.mass(i) + n);
      if (biased) own = own + biases_of<W>(bias, id + n, size, c.whole[i]);
      store(lost, relu((own - fallback) / c.top_mass[i]));
      for (int j = 0; j < size; ++j) pricing.loss[id[n + j]] += lost[j];
    }
  }
}

/// Step 3: tokens that lost an expert take their k best active ones.
template <int W>
THERMOE_INLINE void reroute(const TopkRouteArgs& a, const ExpertSet& active, TokenChunk& c) {
  bool lost[TokenChunk::kTokens];
  const float* masked[TokenChunk::kTokens];
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = c.id[i];
    lost[i] = !std::all_of(id, id + c.picked[i], [&](int e) { return active.in[e] != 0; });
    masked[i] = c.masked(i);
    if (lost[i]) mask_keys<W>(active, i, c);
  }
  select_picks<W>(c, masked, lost);
  ChunkKernel<W>::weigh(a, c);
}

THERMOE_INLINE std::span<const float> prices_of(const TopkRouteArgs& a) {
  return {a.plan.activation_price, static_cast<std::size_t>(a.router.experts)};
}

/// Whether every expert outside G goes, whatever it is worth.
THERMOE_INLINE bool all_infinite(std::span<const float> prices) {
  return std::ranges::all_of(prices,
                             [](float p) { return p == std::numeric_limits<float>::infinity(); });
}

template <int W>
THERMOE_INLINE void route_priced(const TopkRouteArgs& a, const PaddedBiases& bias) {
  const WorkspaceRows rows(a);
  TokenChunk c(rows);
  Pricing pricing(rows, c.padded);
  for_each_chunk<W>(
      a, bias, false, c, [&]() __attribute__((always_inline)) { add_to_sets(a, c, pricing); });
  if (!all_infinite(prices_of(a))) {
    pricing.in_union.make_mask(c.padded);
    for_each_chunk<W>(
        a, bias, true,
        c, [&]() __attribute__((always_inline)) { add_losses<W>(a, bias, c, pricing); });
    for (int e = 0; e < a.router.experts; ++e) {
      const bool worth = pricing.loss[e] >= a.plan.activation_price[e];
      if (pricing.in_union.in[e] != 0 && worth) pricing.active.in[e] = 1;
    }
  }
  pricing.active.make_mask(c.padded);
  for_each_chunk<W>(
      a, bias, true, c, [&]() __attribute__((always_inline)) {
        reroute<W>(a, pricing.active, c);
        write_weights<W>(a, bias, c);
      });
}

template <int W>
THERMOE_INLINE void route_unpriced(const TopkRouteArgs& a, const PaddedBiases& bias) {
  TokenChunk c{WorkspaceRows(a)};
  for_each_chunk<W>(
      a, bias, false, c, [&]() __attribute__((always_inline)) { write_weights<W>(a, bias, c); });
}

template <int W>
THERMOE_INLINE void run(const TopkRouteArgs& a, const PaddedBiases& bias, bool has_prices) {
  if (has_prices) {
    route_priced<W>(a, bias);
  } else {
    route_unpriced<W>(a, bias);
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const TopkRouteArgs& a, const PaddedBiases& bias,
                                      bool priced) {
  run<kAvx512Width>(a, bias, priced);
}
THERMOE_TARGET_AVX2 void run_avx2(const TopkRouteArgs& a, const PaddedBiases& bias, bool priced) {
  run<kAvx2Width>(a, bias, priced);
}
void run_baseline(const TopkRouteArgs& a, const PaddedBiases& bias, bool priced) {
  run<kBaselineWidth>(a, bias, priced);
}

bool any_nonzero(std::span<const float> values) {
  constexpr std::size_t kStretch =
      64;  // no early return inside: as a loop without one it is vectorised
  for (std::size_t first = 0; first < values.size(); first += kStretch) {
    bool any = false;
    for (const float v : values.subspan(first, std::min(kStretch, values.size() - first))) {
      any |= v != 0.0F;
    }
    if (any) return true;
  }
  return false;
}

/// Whether a price can take an expert from a token: with k_min = k everything is in G.
bool prices_matter(const TopkRouteArgs& a) {
  if (!a.plan.activation_price || (a.step && a.step->phase == StepState::kPrefill)) return false;
  if (!any_nonzero(prices_of(a))) return false;
  bool any = false;
  for (int t = 0; t < a.tokens; ++t) any |= token_k_min(a, t) < token_k(a, t);
  return any;
}

/// A row of biases padded to whole vectors; null where it would change nothing.
const float* padded_bias(const float* bias, int experts, float* row, std::size_t padded) {
  if (!bias || !any_nonzero({bias, static_cast<std::size_t>(experts)})) return nullptr;
  std::copy_n(bias, experts, row);
  std::fill(row + experts, row + padded, 0.0F);
  return row;
}

int valid_tokens(const TopkRouteArgs& a) {
  const int valid = a.step ? a.step->valid_tokens : StepState::kAllTokens;
  return valid == StepState::kAllTokens ? a.tokens : valid;
}

void route(const TopkRouteArgs& a, Isa isa) {
  const WorkspaceRows rows(a);
  const PaddedBiases bias{
      .model = padded_bias(a.router.bias, a.router.experts, rows.model_bias, rows.row),
      .plan = padded_bias(a.plan.selection_bias, a.router.experts, rows.bias, rows.row)};
  const bool has_prices = prices_matter(a);
  switch (isa) {
    case Isa::kAvx512:
      run_avx512(a, bias, has_prices);
      break;
    case Isa::kAvx2:
      run_avx2(a, bias, has_prices);
      break;
    case Isa::kBaseline:
      run_baseline(a, bias, has_prices);
      break;
  }
}

}  // namespace

void topk_route(const TopkRouteArgs& args, Isa isa) {
  const auto experts = static_cast<std::ptrdiff_t>(args.router.experts);
  const auto tokens = static_cast<std::ptrdiff_t>(args.tokens);
  const std::ptrdiff_t logit_bytes = args.logits.type == FloatType::kF32 ? 4 : 2;
  StepState step = args.step ? *args.step : StepState{};
  const int valid = valid_tokens(args);
  TopkRouteArgs batch = args;
  batch.step = &step;
  for (int b = 0; b < args.batches; ++b) {
    batch.tokens = valid;
    route(batch, isa);
    batch.tokens = args.tokens;
    finish_outputs(batch, valid);
    ++step.step;
    batch.logits.data =
        static_cast<const std::byte*>(batch.logits.data) + logit_bytes * tokens * experts;
    batch.expert += tokens * args.slots;
    batch.weight += tokens * args.slots;
    batch.counts += experts;
    if (batch.kept_mass) batch.kept_mass += tokens;
    if (batch.masked_logits) batch.masked_logits += tokens * experts;
  }
}

}  // namespace thermoe::cpu
