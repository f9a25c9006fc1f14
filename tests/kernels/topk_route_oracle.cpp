// SPDX-License-Identifier: Apache-2.0
#include "topk_route_oracle.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/spread_extra.h"
#include "kernels/aligned_vector.h"

namespace thermoe {
namespace {

struct Token {
  std::vector<double> p;          // by expert
  std::vector<double> biased;     // by expert: p + beta
  std::vector<double> selection;  // by expert: p + beta - b * s
  std::vector<int> ranked;        // valid experts of its groups, best first
  double s = 0.0;
  int k = 0;
  int k_min = 0;

  double share(double score) const { return s > 0.0 ? score / s : 0.0; }
  std::vector<int> top(int n) const {
    return {ranked.begin(), ranked.begin() + std::min<std::size_t>(n, ranked.size())};
  }
};

const float* row_of(const RouteProblem& problem, int t) {
  return problem.logits.data() + static_cast<std::ptrdiff_t>(t) * problem.experts;
}

double score_of(ScoreFunction score, double x, double highest) {
  if (std::isinf(x) && x < 0.0) return 0.0;
  if (score == ScoreFunction::kSigmoid) return 1.0 / (1.0 + std::exp(-x));
  if (score == ScoreFunction::kSoftmax) return x == highest ? 1.0 : std::exp(x - highest);
  return std::sqrt(x > 40.0 ? std::min(x, double{std::numeric_limits<float>::max()})
                            : std::log1p(std::exp(x)));
}

std::vector<double> probabilities(const RouteProblem& problem, int t) {
  const float* row = row_of(problem, t);
  std::vector<double> p(problem.experts, 0.0);
  double highest = -std::numeric_limits<double>::infinity();
  double total = 0.0;
  for (int e = 0; e < problem.experts; ++e) {
    if (!std::isnan(row[e])) highest = std::max(highest, double{row[e]});
  }
  for (int e = 0; e < problem.experts; ++e) {
    if (std::isnan(row[e])) continue;
    p[e] = score_of(problem.score, row[e], highest);
    total += p[e];
  }
  if (problem.score == ScoreFunction::kSoftmax && total > 0.0) {
    for (double& x : p) x /= total;
  }
  return p;
}

/// Lowers `margin` to the relative distance of two values; a tie of the same terms is exact in any
/// arithmetic, one of different terms is chance.
void come_between(double a, double b, bool same_terms, double size, double& margin) {
  if (same_terms) return;
  margin = std::min(margin, std::abs(a - b) / std::max({size, std::abs(a), std::abs(b)}));
}

/// The token's own experts: all that are no NaN, in the groups of the best sums of two.
std::vector<int> own_experts(const RouteProblem& problem, int t, const Token& token,
                             double& margin) {
  const int size = problem.experts / problem.groups;
  std::vector<std::vector<int>> members(problem.groups);
  for (int e = 0; e < problem.experts; ++e) {
    if (!std::isnan(row_of(problem, t)[e])) members[e / size].push_back(e);
  }
  std::vector<double> rank;
  std::vector<std::vector<double>> terms;
  for (const auto& group : members) {
    std::vector<double> scores;
    for (const int e : group) scores.push_back(token.biased[e]);
    std::sort(scores.rbegin(), scores.rend());
    scores.resize(std::min<std::size_t>(scores.size(), 2));
    terms.push_back(scores);
    rank.push_back(scores.empty() ? -std::numeric_limits<double>::infinity()
                                  : std::accumulate(scores.begin(), scores.end(), 0.0));
  }
  std::vector<int> order(problem.groups);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rank[a] > rank[b]; });
  if (problem.groups_kept < problem.groups) {
    const int last = order[problem.groups_kept - 1];
    const int next = order[problem.groups_kept];
    come_between(rank[last], rank[next], terms[last] == terms[next], 1e-30, margin);
  }
  std::vector<int> own;
  std::sort(order.begin(), order.begin() + problem.groups_kept);
  for (int g = 0; g < problem.groups_kept; ++g) {
    own.insert(own.end(), members[order[g]].begin(), members[order[g]].end());
  }
  return own;
}

bool any_nonzero(const std::vector<float>& v) {
  return std::any_of(v.begin(), v.end(), [](float x) { return x != 0.0F; });
}

/// Sorts by score, best first; by the logits where they are the score.
std::vector<int> ranked(const RouteProblem& problem, int t, std::vector<int> experts,
                        const std::vector<double>& score, bool by_logits, double size,
                        double& margin) {
  const float* row = row_of(problem, t);
  std::stable_sort(experts.begin(), experts.end(),
                   [&](int a, int b) { return by_logits ? row[a] > row[b] : score[a] > score[b]; });
  // Without prices nothing depends on the order behind the picks.
  const std::size_t last = problem.price.empty()
                               ? static_cast<std::size_t>(std::max(problem.k, problem.k_of(t)))
                               : experts.size();
  for (std::size_t i = 1; i < experts.size() && i <= last && !by_logits; ++i) {
    const int a = experts[i - 1];
    const int b = experts[i];
    const auto same = [&](const std::vector<float>& v) { return v.empty() || v[a] == v[b]; };
    const bool tie = row[a] == row[b] && same(problem.model_bias) && same(problem.bias);
    come_between(score[a], score[b], tie, size, margin);
  }
  return experts;
}

Token make_token(const RouteProblem& problem, int t, double& margin) {
  Token token{.p = probabilities(problem, t),
              .biased{},
              .selection{},
              .ranked{},
              .k = problem.k_of(t),
              .k_min = problem.k_min_of(t)};
  token.biased = token.p;
  const bool has_model_bias = any_nonzero(problem.model_bias);
  for (int e = 0; e < problem.experts && has_model_bias; ++e) {
    token.biased[e] += problem.model_bias[e];
  }
  const double size = has_model_bias ? 0.1 : 0.0;
  const std::vector<int> own = own_experts(problem, t, token, margin);
  const std::vector<int> baseline =
      ranked(problem, t, own, token.biased, !has_model_bias, size, margin);
  for (int i = 0; i < std::min<int>(problem.k, static_cast<int>(baseline.size())); ++i) {
    token.s += token.p[baseline[i]];
  }
  token.selection = token.biased;
  token.ranked = baseline;
  if (any_nonzero(problem.bias)) {
    for (int e = 0; e < problem.experts; ++e) token.selection[e] -= problem.bias[e] * token.s;
    token.ranked = ranked(problem, t, own, token.selection, false, std::max(size, token.s), margin);
  }
  return token;
}

bool contains(const std::vector<int>& v, int e) {
  return std::find(v.begin(), v.end(), e) != v.end();
}

/// Experts that stay active (design: G and those whose loss reaches the price).
std::set<int> active_set(const RouteProblem& problem, const std::vector<Token>& tokens,
                         double& margin) {
  std::set<int> in_union;
  std::set<int> active;
  for (const Token& token : tokens) {
    for (const int e : token.top(token.k)) in_union.insert(e);
    for (const int e : token.top(std::min(token.k_min, token.k))) active.insert(e);
  }
  std::vector<double> loss(problem.experts, 0.0);
  for (const Token& token : tokens) {
    const auto& v = problem.loss_scores == LossScores::kBiased ? token.biased : token.p;
    const std::vector<int> own = token.top(token.k);
    double next = 0.0;
    for (const int other : token.ranked) {
      if (contains(own, other) || !in_union.contains(other)) continue;
      next = token.share(v[other]);
      break;
    }
    for (const int e : own) loss[e] += std::max(0.0, token.share(v[e]) - next);
  }
  for (const int e : in_union) {
    const double price = problem.price[e];
    if (loss[e] >= price) active.insert(e);
    if (price != 0.0 && std::isfinite(price)) come_between(loss[e], price, false, 0.0, margin);
  }
  return active;
}

std::vector<double> weights(const RouteProblem& problem, const Token& token,
                            const std::vector<int>& picks) {
  double mass = 0.0;
  for (const int e : picks) mass += token.p[e];
  const double unit = problem.denominator == WeightDenominator::kPicked      ? mass
                      : problem.denominator == WeightDenominator::kReference ? token.s
                                                                             : 1.0;
  std::vector<double> weight;
  for (const int e : picks) {
    weight.push_back(problem.scale *
                     (unit > 0.0 ? token.p[e] / unit : 1.0 / static_cast<double>(picks.size())));
  }
  return weight;
}

}  // namespace

int RouteProblem::slots() const {
  return plan_k.value_or(k) + (extra_k_share > 0.0F && plan_k.value_or(k) < experts ? 1 : 0);
}
int RouteProblem::k_of(int t) const {
  std::vector<int> all(static_cast<std::size_t>(valid()));
  spread_extra(plan_k.value_or(k), extra_k_share, layer, step.step, all);
  return std::min(all[static_cast<std::size_t>(t)], experts);
}
int RouteProblem::k_min_of(int t) const {
  std::vector<int> all(static_cast<std::size_t>(valid()));
  spread_extra(k_min, extra_k_min_share, layer, step.step, all);
  return std::min(all[static_cast<std::size_t>(t)], k_of(t));
}

RouterSpec RouteProblem::router() const {
  return {.experts = experts,
          .k = k,
          .score = score,
          .groups = groups,
          .groups_kept = groups_kept,
          .denominator = denominator,
          .routed_scale = scale,
          .loss_scores = loss_scores,
          .selection_bias = model_bias};
}

int RouteResult::active() const {
  return static_cast<int>(counts.size() - std::count(counts.begin(), counts.end(), 0));
}

std::uint16_t narrowed(float value, FloatType type) {
  if (type == FloatType::kBf16) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  }
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (std::isnan(value)) return sign | 0x7e00;
  if (std::isinf(value)) return sign | 0x7c00;
  int exponent = 0;
  const float mantissa = std::frexp(std::abs(value), &exponent);
  if (exponent < -13 || value == 0.0F)
    return sign | static_cast<std::uint16_t>(std::ldexp(std::abs(value), 24));
  const auto digits = static_cast<std::uint16_t>(mantissa * 2048.0F);
  return sign | static_cast<std::uint16_t>(((exponent + 14) << 10) | (digits & 0x3ff));
}

RouteResult route(const KernelBackend& backend, const RouteProblem& problem) {
  const auto cells = static_cast<std::size_t>(problem.tokens) * problem.slots();
  RouteResult result{.expert = std::vector<std::int32_t>(cells, -77),
                     .weight = std::vector<float>(cells, -77.0F),
                     .counts = std::vector<std::int32_t>(problem.experts, -77),
                     .kept_mass = std::vector<float>(problem.tokens, -77.0F),
                     .masked_logits = std::vector<float>(problem.logits.size(), -77.0F)};
  std::vector<std::uint16_t> bits;
  GateLogits logits(problem.logits.data());
  if (problem.type != FloatType::kF32) {
    for (const float x : problem.logits) bits.push_back(narrowed(x, problem.type));
    logits = problem.type == FloatType::kBf16 ? GateLogits::bf16(bits.data())
                                              : GateLogits::f16(bits.data());
  }
  const RouterSpec router = problem.router();
  const LayerPlan row{.k = problem.plan_k.value_or(problem.k),
                      .k_min = problem.k_min,
                      .extra_k_share = problem.extra_k_share,
                      .extra_k_min_share = problem.extra_k_min_share};
  const auto data_of = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
  result.first.assign(static_cast<std::size_t>(problem.experts) + 1, -77);
  result.pair.assign(cells, -77);
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), problem.tokens,
                           problem.slots()),
      std::byte{0xb2});
  backend.topk_route({.logits = logits,
                      .tokens = problem.tokens,
                      .router = {router, data_of(problem.model_bias)},
                      .plan = {.layer = problem.layer,
                               .row = &row,
                               .selection_bias = data_of(problem.bias),
                               .activation_price = data_of(problem.price)},
                      .step = &problem.step,
                      .expert = result.expert.data(),
                      .weight = result.weight.data(),
                      .slots = problem.slots(),
                      .fill_slots = problem.fill_slots,
                      .counts = result.counts.data(),
                      .kept_mass = result.kept_mass.data(),
                      .masked_logits = result.masked_logits.data(),
                      .order = {result.first.data(), result.pair.data()},
                      .workspace = workspace.data(),
                      .workspace_size = workspace.size()});
  return result;
}

double RouteOracle::smallest_margin() const {
  return std::accumulate(margin.begin(), margin.end(), price_margin,
                         [](double a, double b) { return std::min(a, b); });
}

RouteOracle route_oracle(const RouteProblem& problem) {
  RouteOracle oracle{.margin = std::vector<double>(problem.tokens, 1.0)};
  const int valid = problem.valid();
  std::vector<Token> tokens;
  for (int t = 0; t < valid; ++t) tokens.push_back(make_token(problem, t, oracle.margin[t]));
  std::set<int> active;
  if (!problem.price.empty()) active = active_set(problem, tokens, oracle.price_margin);
  for (const Token& token : tokens) {
    std::vector<int> picks;
    for (const int e : token.ranked) {
      const bool allowed = problem.price.empty() || active.contains(e);
      if (allowed && static_cast<int>(picks.size()) < token.k) picks.push_back(e);
    }
    double mass = 0.0;
    for (const int e : picks) mass += token.p[e];
    oracle.picks.push_back(picks);
    oracle.weight.push_back(weights(problem, token, picks));
    oracle.kept_mass.push_back(token.s > 0.0 ? std::min(1.0, mass / token.s) : 1.0);
  }
  oracle.picks.resize(problem.tokens);
  oracle.weight.resize(problem.tokens);
  oracle.kept_mass.resize(problem.tokens, 1.0);
  return oracle;
}

}  // namespace thermoe
