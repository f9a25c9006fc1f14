// SPDX-License-Identifier: Apache-2.0
#include "topk_route_oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace thermoe {
namespace {

struct Token {
  std::vector<double> p;          // by expert
  std::vector<double> selection;  // by expert
  std::vector<int> ranked;        // valid experts, best first
  double s = 0.0;
  int k = 0;

  double u(int e) const { return s > 0.0 ? p[e] / s : 0.0; }
  std::vector<int> top(int n) const {
    return {ranked.begin(), ranked.begin() + std::min<std::size_t>(n, ranked.size())};
  }
};

std::vector<double> probabilities(const RouteProblem& problem, int t) {
  const float* row = problem.logits.data() + static_cast<std::ptrdiff_t>(t) * problem.experts;
  std::vector<double> p(problem.experts, 0.0);
  double highest = -std::numeric_limits<double>::infinity();
  double total = 0.0;
  for (int e = 0; e < problem.experts; ++e) {
    if (!std::isnan(row[e])) highest = std::max(highest, double{row[e]});
  }
  for (int e = 0; e < problem.experts; ++e) {
    if (std::isnan(row[e])) continue;
    p[e] = problem.score == ScoreFunction::kSigmoid ? 1.0 / (1.0 + std::exp(-double{row[e]}))
           : row[e] == highest                      ? 1.0
                                                    : std::exp(row[e] - highest);
    total += p[e];
  }
  if (problem.score == ScoreFunction::kSoftmax && total > 0.0) {
    for (double& x : p) x /= total;
  }
  return p;
}

Token make_token(const RouteProblem& problem, int t, double& margin) {
  Token token{.p = probabilities(problem, t), .selection{}, .ranked{}, .k = problem.k_of(t)};
  std::vector<double> largest;
  for (int e = 0; e < problem.experts; ++e) {
    if (std::isnan(problem.logits[static_cast<std::size_t>(t) * problem.experts + e])) continue;
    token.ranked.push_back(e);
    largest.push_back(token.p[e]);
  }
  std::sort(largest.rbegin(), largest.rend());
  largest.resize(std::min<std::size_t>(largest.size(), token.k));
  token.s = std::accumulate(largest.begin(), largest.end(), 0.0);
  token.selection = token.p;
  for (int e = 0; e < problem.experts && !problem.bias.empty(); ++e) {
    token.selection[e] -= problem.bias[e] * token.s;
  }
  const auto& score = token.selection;
  const float* row = problem.logits.data() + static_cast<std::ptrdiff_t>(t) * problem.experts;
  std::stable_sort(token.ranked.begin(), token.ranked.end(), [&](int a, int b) {
    if (score[a] != score[b] || !problem.bias.empty()) return score[a] > score[b];
    return row[a] > row[b];  // logits tell apart what p no longer does
  });
  for (std::size_t i = 1; i < token.ranked.size(); ++i) {
    const double a = score[token.ranked[i - 1]];
    const double b = score[token.ranked[i]];
    const double size = std::max({a, std::abs(b), problem.bias.empty() ? 0.0 : token.s});
    if (a != b) margin = std::min(margin, (a - b) / size);
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
    for (const int e : token.top(std::min(problem.k_min, token.k))) active.insert(e);
  }
  for (const int e : in_union) {
    double loss = 0.0;
    for (const Token& token : tokens) {
      const std::vector<int> own = token.top(token.k);
      if (!contains(own, e)) continue;
      double next = 0.0;
      for (const int other : token.ranked) {
        if (contains(own, other) || !in_union.contains(other)) continue;
        next = token.u(other);
        break;
      }
      loss += std::max(0.0, token.u(e) - next);
    }
    const double price = problem.price[e];
    if (loss >= price) active.insert(e);
    if (price != 0.0) margin = std::min(margin, std::abs(loss - price) / price);
  }
  return active;
}

}  // namespace

int RouteProblem::slots() const {
  return k_per_token.empty() ? k : *std::max_element(k_per_token.begin(), k_per_token.end());
}

int RouteResult::active() const {
  return static_cast<int>(counts.size() - std::count(counts.begin(), counts.end(), 0));
}

RouteResult route(const KernelBackend& backend, const RouteProblem& problem) {
  const auto cells = static_cast<std::size_t>(problem.tokens) * problem.slots();
  RouteResult result{.expert = std::vector<std::int32_t>(cells, -77),
                     .weight = std::vector<float>(cells, -77.0F),
                     .counts = std::vector<std::int32_t>(problem.experts, -77),
                     .kept_mass = std::vector<float>(problem.tokens, -77.0F)};
  TopkRouteWorkspace workspace;
  backend.topk_route({.logits = problem.logits.data(),
                      .tokens = problem.tokens,
                      .experts = problem.experts,
                      .score = problem.score,
                      .renormalise = problem.renormalise,
                      .k = problem.k,
                      .k_min = problem.k_min,
                      .k_per_token = problem.k_per_token,
                      .selection_bias = problem.bias,
                      .activation_price = problem.price,
                      .expert = result.expert.data(),
                      .weight = result.weight.data(),
                      .slots = problem.slots(),
                      .counts = result.counts.data(),
                      .kept_mass = result.kept_mass.data(),
                      .workspace = &workspace});
  return result;
}

RouteOracle route_oracle(const RouteProblem& problem) {
  RouteOracle oracle;
  std::vector<Token> tokens;
  for (int t = 0; t < problem.tokens; ++t) tokens.push_back(make_token(problem, t, oracle.margin));
  std::set<int> active;
  if (!problem.price.empty()) active = active_set(problem, tokens, oracle.margin);
  for (const Token& token : tokens) {
    std::vector<int> picks;
    for (const int e : token.ranked) {
      const bool allowed = problem.price.empty() || active.contains(e);
      if (allowed && static_cast<int>(picks.size()) < token.k) picks.push_back(e);
    }
    double mass = 0.0;
    for (const int e : picks) mass += token.p[e];
    std::vector<double> weight;
    for (const int e : picks) {
      weight.push_back(!problem.renormalise ? token.p[e]
                       : mass > 0.0         ? token.p[e] / mass
                                            : 1.0 / static_cast<double>(picks.size()));
    }
    oracle.picks.push_back(picks);
    oracle.weight.push_back(weight);
    oracle.kept_mass.push_back(token.s > 0.0 ? mass / token.s : 1.0);
  }
  return oracle;
}

}  // namespace thermoe
