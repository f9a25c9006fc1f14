// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/backends.h"

// Pricing looks at every token twice or three times, and a token's scores are worked out anew each
// time: cheaper than scratch memory, which a kernel that never allocates does not have.
namespace thermoe::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kPadded = (kMaxExperts + kLanes - 1) / kLanes * kLanes;

/// What one token thinks of the experts.
struct TokenScores {
  alignas(64) float p[kPadded];       ///< probabilities, 0 for a NaN logit
  alignas(64) float plain[kPadded];   ///< p, but -inf for a NaN logit: it is never picked
  alignas(64) float biased[kPadded];  ///< selection score p - b * s, or -inf
  const float* selection = plain;     ///< `plain` or `biased`
  float top_mass = 0.0F;              ///< s: sum of the token's k largest p
};

/// The best of one token so far: best first, ties by lowest id as ids come in ascending order.
struct Ranking {
  float score[kMaxExperts];
  std::int32_t id[kMaxExperts];
  int size = 0;

  THERMOE_INLINE void offer(float s, std::int32_t e, int k) {
    if (size == k ? !(s > score[k - 1]) : !(s > -kInfinity)) return;
    int at = size < k ? size++ : k - 1;
    for (; at > 0 && s > score[at - 1]; --at) {
      score[at] = score[at - 1];
      id[at] = id[at - 1];
    }
    score[at] = s;
    id[at] = e;
  }
};

/// The k best experts by `score`; with a mask, of those only whose flag is set.
THERMOE_INLINE void rank(const float* score, int experts, int k, const bool* allowed,
                         Ranking& out) {
  out.size = 0;
  for (int e = 0; e < experts; ++e) {
    if (!allowed || allowed[e]) out.offer(score[e], e, k);
  }
}

/// p of one row of logits. exp(x - max), with exp(0) = 1 at the maximum even where it is infinite,
/// so that +inf shares all the mass and a row of -inf is uniform.
template <int W>
THERMOE_INLINE void softmax(const float* logits, int padded, float* p) {
  Floats<W> top = splat<W>(-kInfinity);
  for (int e = 0; e < padded; e += kLanes) {
    const Floats<W> x = load<W>(logits + e);
    top = select(x > top, x, top);  // false for NaN
  }
  const Floats<W> highest = splat<W>(max(top));
  Floats<W> total = splat<W>(0.0F);
  for (int e = 0; e < padded; e += kLanes) {
    const Floats<W> x = load<W>(logits + e);
    const Floats<W> finite = select(x == highest, 1.0F, exp(x - highest));
    const Floats<W> mass = select(x == x, finite, splat<W>(0.0F));
    store(p + e, mass);
    total = total + mass;
  }
  const float denominator = sum(total);
  if (denominator == 0.0F) return;  // every logit is NaN
  for (int e = 0; e < padded; e += kLanes) store(p + e, load<W>(p + e) / denominator);
}

template <int W>
THERMOE_INLINE void sigmoids(const float* logits, int padded, float* p) {
  for (int e = 0; e < padded; e += kLanes) {
    const Floats<W> x = load<W>(logits + e);
    store(p + e, select(x == x, sigmoid(x), splat<W>(0.0F)));
  }
}

THERMOE_INLINE int token_k(const TopkRouteArgs& a, int t) {
  return a.k_per_token.empty() ? a.k : a.k_per_token[static_cast<std::size_t>(t)];
}

THERMOE_INLINE float mass_of(const Ranking& ranking, const float* p) {
  float mass = 0.0F;
  for (int i = 0; i < ranking.size; ++i) mass += p[ranking.id[i]];
  return mass;
}

/// Fills `s` for token t and leaves its k best by selection score in `top`.
template <int W>
THERMOE_INLINE void score_token(const TopkRouteArgs& a, int t, bool has_bias, TokenScores& s,
                                Ranking& top) {
  const int padded = (a.experts + kLanes - 1) / kLanes * kLanes;
  const float* row = a.logits + static_cast<std::ptrdiff_t>(t) * a.experts;
  // The padding is NaN, which no one picks.
  std::copy_n(row, a.experts, s.plain);
  std::fill(s.plain + a.experts, s.plain + padded, std::numeric_limits<float>::quiet_NaN());
  if (a.score == ScoreFunction::kSoftmax) {
    softmax<W>(s.plain, padded, s.p);
  } else {
    sigmoids<W>(s.plain, padded, s.p);
  }
  for (int e = 0; e < padded; e += kLanes) {
    const Floats<W> x = load<W>(s.plain + e);
    store(s.plain + e, select(x == x, load<W>(s.p + e), splat<W>(-kInfinity)));
  }
  const int k = token_k(a, t);
  rank(s.plain, a.experts, k, nullptr, top);
  s.top_mass = mass_of(top, s.p);
  s.selection = s.plain;
  if (!has_bias) return;
  for (int e = 0; e < a.experts; ++e) {
    s.biased[e] = s.plain[e] - a.selection_bias[static_cast<std::size_t>(e)] * s.top_mass;
  }
  s.selection = s.biased;
  rank(s.biased, a.experts, k, nullptr, top);
}

/// Writes token t's row: ids, weights, kept mass.
THERMOE_INLINE void write_token(const TopkRouteArgs& a, int t, const TokenScores& s,
                                const Ranking& picks) {
  std::int32_t* expert = a.expert + static_cast<std::ptrdiff_t>(t) * a.slots;
  float* weight = a.weight + static_cast<std::ptrdiff_t>(t) * a.slots;
  const float mass = mass_of(picks, s.p);
  for (int i = 0; i < a.slots; ++i) {
    const bool used = i < picks.size;
    expert[i] = used ? picks.id[i] : -1;
    weight[i] = !used            ? 0.0F
                : !a.renormalise ? s.p[picks.id[i]]
                : mass > 0.0F    ? s.p[picks.id[i]] / mass
                                 : 1.0F / static_cast<float>(picks.size);
  }
  if (a.kept_mass) a.kept_mass[t] = s.top_mass > 0.0F ? std::min(1.0F, mass / s.top_mass) : 1.0F;
}

/// Step 1 of pricing: writes every token's top-k, and collects U and G.
template <int W>
THERMOE_INLINE void route_unpriced(const TopkRouteArgs& a, bool has_bias, bool* in_union,
                                   bool* active) {
  TokenScores scores;
  Ranking top;
  for (int t = 0; t < a.tokens; ++t) {
    score_token<W>(a, t, has_bias, scores, top);
    write_token(a, t, scores, top);
    if (!in_union) continue;
    for (int i = 0; i < top.size; ++i) in_union[top.id[i]] = true;
    for (int i = 0; i < std::min(a.k_min, top.size); ++i) active[top.id[i]] = true;
  }
}

/// p of the best candidate by selection score; 0 if there is none.
THERMOE_INLINE float best_mass(const TokenScores& s, int experts, const bool* candidate) {
  float best = -kInfinity;
  float mass = 0.0F;
  for (int e = 0; e < experts; ++e) {
    if (!candidate[e] || !(s.selection[e] > best)) continue;
    best = s.selection[e];
    mass = s.p[e];
  }
  return mass;
}

/// Step 2: what the batch would lose without each expert, were only that one missing.
template <int W>
THERMOE_INLINE void add_losses(const TopkRouteArgs& a, bool has_bias, const bool* in_union,
                               float* loss) {
  TokenScores scores;
  Ranking top;
  bool candidate[kMaxExperts];
  for (int t = 0; t < a.tokens; ++t) {
    score_token<W>(a, t, has_bias, scores, top);
    if (!(scores.top_mass > 0.0F)) continue;  // no mass to lose
    std::copy_n(in_union, a.experts, candidate);
    for (int i = 0; i < top.size; ++i) candidate[top.id[i]] = false;
    const float fallback = best_mass(scores, a.experts, candidate);
    for (int i = 0; i < top.size; ++i) {
      const float gap = scores.p[top.id[i]] - fallback;
      loss[top.id[i]] += std::max(0.0F, gap / scores.top_mass);
    }
  }
}

/// Step 3: tokens that lost an expert take their k best active ones; the others keep their rows.
template <int W>
THERMOE_INLINE void reroute(const TopkRouteArgs& a, bool has_bias, const bool* active) {
  TokenScores scores;
  Ranking picks;
  for (int t = 0; t < a.tokens; ++t) {
    const std::int32_t* row = a.expert + static_cast<std::ptrdiff_t>(t) * a.slots;
    const bool kept = std::all_of(row, row + a.slots, [&](int e) { return e < 0 || active[e]; });
    if (kept) continue;
    score_token<W>(a, t, has_bias, scores, picks);
    rank(scores.selection, a.experts, token_k(a, t), active, picks);
    write_token(a, t, scores, picks);
  }
}

template <int W>
THERMOE_INLINE void route_priced(const TopkRouteArgs& a, bool has_bias) {
  bool in_union[kMaxExperts] = {};
  bool active[kMaxExperts] = {};
  float loss[kMaxExperts] = {};
  route_unpriced<W>(a, has_bias, in_union, active);
  add_losses<W>(a, has_bias, in_union, loss);
  for (int e = 0; e < a.experts; ++e) {
    if (in_union[e] && loss[e] >= a.activation_price[static_cast<std::size_t>(e)]) active[e] = true;
  }
  reroute<W>(a, has_bias, active);
}

template <int W>
THERMOE_INLINE void run(const TopkRouteArgs& a, bool has_bias, bool has_prices) {
  if (has_prices) {
    route_priced<W>(a, has_bias);
  } else {
    route_unpriced<W>(a, has_bias, nullptr, nullptr);
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const TopkRouteArgs& a, bool has_bias, bool has_prices) {
  run<kAvx512Width>(a, has_bias, has_prices);
}
THERMOE_TARGET_AVX2 void run_avx2(const TopkRouteArgs& a, bool has_bias, bool has_prices) {
  run<kAvx2Width>(a, has_bias, has_prices);
}
void run_baseline(const TopkRouteArgs& a, bool has_bias, bool has_prices) {
  run<kBaselineWidth>(a, has_bias, has_prices);
}

bool any_nonzero(std::span<const float> values) {
  return std::any_of(values.begin(), values.end(), [](float v) { return v != 0.0F; });
}

/// Whether a price can take an expert from a token: with k_min = k everything is in G.
bool prices_matter(const TopkRouteArgs& a) {
  const auto ks = a.k_per_token;
  const int largest = ks.empty() ? a.k : *std::max_element(ks.begin(), ks.end());
  return a.k_min < largest && any_nonzero(a.activation_price);
}

}  // namespace

void topk_route(const TopkRouteArgs& args, Isa isa) {
  const bool has_bias = any_nonzero(args.selection_bias);
  const bool has_prices = prices_matter(args);
  switch (isa) {
    case Isa::kAvx512:
      run_avx512(args, has_bias, has_prices);
      break;
    case Isa::kAvx2:
      run_avx2(args, has_bias, has_prices);
      break;
    case Isa::kBaseline:
      run_baseline(args, has_bias, has_prices);
      break;
  }
  std::fill_n(args.counts, args.experts, 0);
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(args.tokens) * args.slots;
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    if (args.expert[i] >= 0) ++args.counts[args.expert[i]];
  }
}

}  // namespace thermoe::cpu
