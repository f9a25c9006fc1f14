// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/token_chunk.h"

// Pricing looks at every token up to three times. A batch of one chunk, which decoding is, keeps
// what it worked out; a larger one works it out anew each time, as a kernel that never allocates
// has no room for it.
namespace thermoe::cpu {

#define THERMOE_CHUNK_KERNEL(width, target)                                                       \
  target void ChunkKernel<width>::weigh(const TopkRouteArgs& a, TokenChunk& c) {                  \
    weigh_picks<width>(a, c);                                                                     \
  }                                                                                               \
  target void ChunkKernel<width>::pick(const TopkRouteArgs& a, const PaddedBias& bias, int first, \
                                       int count, TokenChunk& c) {                                \
    pick_unpriced<width>(a, bias, first, count, c);                                               \
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
THERMOE_INLINE void for_each_chunk(const TopkRouteArgs& a, const PaddedBias& bias, bool held,
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
    const std::int32_t* id = picks(a, c.first + i);
    for (int n = 0; n < c.picked[i]; ++n) pricing.in_union.in[id[n]] = 1;
    for (int n = 0; n < std::min(a.k_min, c.picked[i]); ++n) pricing.active.in[id[n]] = 1;
  }
}

/// Keys of the experts in `set` only.
template <int W>
THERMOE_INLINE void mask_keys(const ExpertSet& set, int i, TokenChunk& c) {
  for (int e = 0; e < c.padded; e += kLanes) {
    store(c.masked(i) + e, load<W>(c.key[i] + e) + load<W>(set.mask + e));
  }
}

/// Step 2: what the batch would lose without each expert, were only that one missing.
template <int W>
THERMOE_INLINE void add_losses(const TopkRouteArgs& a, TokenChunk& c, Pricing& pricing) {
  std::int32_t next[TokenChunk::kTokens];
  Selection selections[TokenChunk::kTokens];
  for (int i = 0; i < c.count; ++i) {
    mask_keys<W>(pricing.in_union, i, c);
    selections[i] = {c.masked(i), &next[i], 1};
  }
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = picks(a, c.first + i);
    for (int n = 0; n < c.picked[i]; ++n) c.masked(i)[id[n]] = kNever;
  }
  select_top<W>(std::span(selections, static_cast<std::size_t>(c.count)), c.padded);
  for (int i = 0; i < c.count; ++i) {
    if (!(c.top_mass[i] > 0.0F)) continue;  // no mass to lose
    const Floats<W> x = splat<W>(next[i] >= 0 ? c.logits[i][next[i]] : 0.0F);
    const Floats<W> fallback = next[i] >= 0 ? mass_of(a.score, x, c.highest[i]) : splat<W>(0.0F);
    const std::int32_t* id = picks(a, c.first + i);
    for (int n = 0; n < c.picked[i]; n += kLanes) {
      float lost[kLanes];
      store(lost, relu((load<W>(c.mass(i) + n) - fallback) / c.top_mass[i]));
      const int size = std::min(kLanes, c.picked[i] - n);
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
    const std::int32_t* id = picks(a, c.first + i);
    lost[i] = !std::all_of(id, id + c.picked[i], [&](int e) { return active.in[e] != 0; });
    masked[i] = c.masked(i);
    if (lost[i]) mask_keys<W>(active, i, c);
  }
  select_picks<W>(a, c, masked, lost);
  ChunkKernel<W>::weigh(a, c);
}

template <int W>
THERMOE_INLINE void route_priced(const TopkRouteArgs& a, const PaddedBias& bias) {
  const WorkspaceRows rows(a);
  TokenChunk c(rows);
  Pricing pricing(rows, c.padded);
  for_each_chunk<W>(
      a, bias, false, c, [&]() __attribute__((always_inline)) { add_to_sets(a, c, pricing); });
  pricing.in_union.make_mask(c.padded);
  for_each_chunk<W>(
      a, bias, true, c, [&]() __attribute__((always_inline)) { add_losses<W>(a, c, pricing); });
  for (int e = 0; e < a.experts; ++e) {
    const bool worth = pricing.loss[e] >= a.activation_price[static_cast<std::size_t>(e)];
    if (pricing.in_union.in[e] != 0 && worth) pricing.active.in[e] = 1;
  }
  pricing.active.make_mask(c.padded);
  for_each_chunk<W>(
      a, bias, true, c, [&]() __attribute__((always_inline)) {
        reroute<W>(a, pricing.active, c);
        write_weights<W>(a, c);
      });
}

template <int W>
THERMOE_INLINE void route_unpriced(const TopkRouteArgs& a, const PaddedBias& bias) {
  TokenChunk c{WorkspaceRows(a)};
  for_each_chunk<W>(
      a, bias, false, c, [&]() __attribute__((always_inline)) { write_weights<W>(a, c); });
}

template <int W>
THERMOE_INLINE void run(const TopkRouteArgs& a, const PaddedBias& bias, bool has_prices) {
  if (has_prices) {
    route_priced<W>(a, bias);
  } else {
    route_unpriced<W>(a, bias);
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const TopkRouteArgs& a, const PaddedBias& bias, bool priced) {
  run<kAvx512Width>(a, bias, priced);
}
THERMOE_TARGET_AVX2 void run_avx2(const TopkRouteArgs& a, const PaddedBias& bias, bool priced) {
  run<kAvx2Width>(a, bias, priced);
}
void run_baseline(const TopkRouteArgs& a, const PaddedBias& bias, bool priced) {
  run<kBaselineWidth>(a, bias, priced);
}

bool any_nonzero(std::span<const float> values) {
  bool any = false;  // no early return: as a loop without one it is vectorised
  for (const float v : values) any |= v != 0.0F;
  return any;
}

/// Whether a price can take an expert from a token: with k_min = k everything is in G.
bool prices_matter(const TopkRouteArgs& a) {
  const auto ks = a.k_per_token;
  const int largest = ks.empty() ? a.k : *std::max_element(ks.begin(), ks.end());
  return a.k_min < largest && any_nonzero(a.activation_price);
}

}  // namespace

void topk_route(const TopkRouteArgs& args, Isa isa) {
  PaddedBias bias;
  bias.any = any_nonzero(args.selection_bias);
  if (bias.any) {
    const WorkspaceRows rows(args);
    std::copy(args.selection_bias.begin(), args.selection_bias.end(), rows.bias);
    std::fill(rows.bias + args.experts, rows.bias + rows.row, 0.0F);
    bias.value = rows.bias;
  }
  const bool has_prices = prices_matter(args);
  switch (isa) {
    case Isa::kAvx512:
      run_avx512(args, bias, has_prices);
      break;
    case Isa::kAvx2:
      run_avx2(args, bias, has_prices);
      break;
    case Isa::kBaseline:
      run_baseline(args, bias, has_prices);
      break;
  }
  std::fill_n(args.counts, args.experts, 0);
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(args.tokens) * args.slots;
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    if (args.expert[i] >= 0) ++args.counts[args.expert[i]];
  }
}

}  // namespace thermoe::cpu
