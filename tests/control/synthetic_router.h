// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "core/logit_sample.h"
#include "core/router_spec.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "core/step_cost.h"

namespace thermoe::testing {

/// Costs of a step like the H100's at batch 16 (Qwen3-30B-A3B experts, bf16): 4 us + 3.2 us an
/// expert a layer, 1.38 mJ an expert, 48 charged layers. Written out here: control's tests read no
/// file.
inline StepCost h100_like(int layers) {
  const Cost first{Seconds(3.2e-6), Joules(1.37e-3), Celsius(0.0)};
  const Cost sixteen{Seconds(3.3e-6), Joules(1.45e-3), Celsius(0.0)};
  return {.layer_repeat = 48.0 / layers,
          .layer_constant = {Seconds(4e-6), Joules(1e-3), Celsius(0.0)},
          .variants = {CostCurve({{1.0, first}, {16.0, sixteen}})},
          .active_idle = Watts(130.0)};
}

/// Random gate logits with unevenly popular experts, seeded.
class LogitSource {
 public:
  LogitSource(int layers, int tokens, int experts, std::uint32_t seed, float spread = 1.5F)
      : layers_(layers), tokens_(tokens), experts_(experts), spread_(spread), random_(seed) {
    popularity_.resize(static_cast<std::size_t>(layers) * experts);
    for (float& p : popularity_) p = 0.3F * normal_(random_);
  }

  LogitSample next() { return next(tokens_); }

  LogitSample next(int tokens) {
    LogitSample s{.layers = layers_, .tokens = tokens, .experts = experts_};
    s.logits.reserve(popularity_.size() * tokens);
    for (int l = 0; l < layers_; ++l) {
      for (int t = 0; t < tokens; ++t) {
        for (int e = 0; e < experts_; ++e) {
          s.logits.push_back(popularity_[static_cast<std::size_t>(l) * experts_ + e] +
                             spread_ * normal_(random_));
        }
      }
    }
    return s;
  }

 private:
  int layers_, tokens_, experts_;
  float spread_;
  std::mt19937 random_;
  std::normal_distribution<float> normal_{};
  std::vector<float> popularity_{};
};

/// The routing rule read literally, in float64: the tests' oracle for control's evaluation, and the
/// data plane of the closed-loop tests.
class ReferenceRouter {
 public:
  explicit ReferenceRouter(RouterSpec spec) : spec_(std::move(spec)) {}

  RoutingStats route(const LogitSample& sample, const RoutingPlan& plan) const {
    RoutingStats stats{.layers = sample.layers, .experts = sample.experts, .tokens = sample.tokens};
    std::vector<double> kept;  // of each token in each layer
    for (int l = 0; l < sample.layers; ++l) route_layer(sample, plan, l, stats.counts, kept);
    stats.kept_mass = 0.0;
    double nats = 0.0;
    for (const double m : kept) {
      stats.kept_mass += m / static_cast<double>(kept.size());
      nats -= std::log(std::clamp(m, 1e-3, 1.0)) / static_cast<double>(kept.size());
    }
    stats.quality_loss = nats;
    return stats;
  }

 private:
  /// What a token sees of the experts.
  struct Token {
    std::vector<double> u{}, v{};  ///< [experts]
    std::vector<int> order{};      ///< its own experts, best first by v - b
    bool weightless = false;       ///< its baseline picks have p = 0
  };

  void route_layer(const LogitSample& s, const RoutingPlan& plan, int l,
                   std::vector<std::int32_t>& counts, std::vector<double>& kept) const {
    const auto price = plan.activation_price(l);
    const LayerPlan& rule = plan.layer(l);
    std::vector<Token> tokens(s.tokens);
    std::vector<int> k(s.tokens, rule.k);
    std::set<int> everyone, guaranteed;
    const int more_k = static_cast<int>(std::lround(rule.extra_k_share * s.tokens));
    const int more_k_min = static_cast<int>(std::lround(rule.extra_k_min_share * s.tokens));
    for (int t = 0; t < s.tokens; ++t) {
      if (t < more_k) ++k[t];
      const int k_min = std::min(rule.k_min + (t < more_k_min ? 1 : 0), k[t]);
      tokens[t] = token(s.layer(l).subspan(static_cast<std::size_t>(t) * s.experts, s.experts),
                        spec_.layer_bias(l), plan.selection_bias(l));
      const auto& order = tokens[t].order;
      everyone.insert(order.begin(), order.begin() + k[t]);
      guaranteed.insert(order.begin(), order.begin() + k_min);
    }
    std::vector<double> loss(s.experts, 0.0);
    for (int t = 0; t < s.tokens; ++t) {
      const auto& order = tokens[t].order;
      const bool biased = spec_.loss_scores == LossScores::kBiased;
      const std::vector<double>& value = biased ? tokens[t].v : tokens[t].u;
      double next = 0.0;
      for (int i = static_cast<int>(order.size()) - 1; i >= k[t]; --i) {
        if (everyone.count(order[i]) != 0) next = value[order[i]];
      }
      for (int i = 0; i < k[t]; ++i) loss[order[i]] += std::max(0.0, value[order[i]] - next);
    }
    std::set<int> active = guaranteed;
    for (const int e : everyone) {
      if (loss[e] >= price[e]) active.insert(e);
    }
    const std::size_t base = counts.size();
    counts.resize(base + s.experts, 0);
    for (int t = 0; t < s.tokens; ++t) {
      int taken = 0;
      double own = 0.0;
      for (const int e : tokens[t].order) {
        if (taken == k[t]) break;
        if (active.count(e) == 0) continue;
        ++counts[base + e];
        ++taken;
        own += tokens[t].u[e];
      }
      kept.push_back(tokens[t].weightless ? 1.0 : std::min(own, 1.0));
    }
  }

  Token token(std::span<const float> logits, std::span<const float> beta,
              std::span<const float> bias) const {
    const std::vector<double> p = scores(logits);
    std::vector<double> s = p;
    for (std::size_t e = 0; e < beta.size(); ++e) s[e] += beta[e];
    Token token{.u = p, .v = s, .order = own_experts(s)};
    sort_by(token.order, s);
    double mass = 0.0;
    for (int i = 0; i < spec_.k; ++i) mass += p[token.order[i]];
    token.weightless = mass == 0.0;
    if (token.weightless) mass = 1.0;
    std::vector<double> selection(p.size());
    for (std::size_t e = 0; e < p.size(); ++e) {
      token.u[e] /= mass;
      token.v[e] /= mass;
      selection[e] = token.v[e] - bias[e];
    }
    std::sort(token.order.begin(), token.order.end());
    sort_by(token.order, selection);
    return token;
  }

  std::vector<double> scores(std::span<const float> logits) const {
    std::vector<double> p(logits.begin(), logits.end());
    double sum = 0.0;
    for (double& x : p) {
      if (spec_.score == ScoreFunction::kSoftmax) sum += x = std::exp(x);
      if (spec_.score == ScoreFunction::kSigmoid) x = 1.0 / (1.0 + std::exp(-x));
      if (spec_.score == ScoreFunction::kSqrtSoftplus) x = std::sqrt(std::log1p(std::exp(x)));
    }
    if (sum > 0.0) {
      for (double& x : p) x /= sum;
    }
    return p;
  }

  /// Ids, rising, of the experts in the groups with the best sum of two.
  std::vector<int> own_experts(const std::vector<double>& s) const {
    const int size = spec_.experts / spec_.groups;
    std::vector<int> groups(spec_.groups);
    std::iota(groups.begin(), groups.end(), 0);
    std::vector<double> value(groups.size());
    for (const int g : groups) {
      std::vector<double> best(s.begin() + g * size, s.begin() + (g + 1) * size);
      std::sort(best.rbegin(), best.rend());
      value[g] = size == 1 ? best[0] : best[0] + best[1];
    }
    sort_by(groups, value);
    groups.resize(spec_.groups_kept);
    std::sort(groups.begin(), groups.end());
    std::vector<int> own;
    for (const int g : groups) {
      for (int e = g * size; e < (g + 1) * size; ++e) own.push_back(e);
    }
    return own;
  }

  /// Falling; ties stay as they were.
  static void sort_by(std::vector<int>& ids, const std::vector<double>& value) {
    std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) { return value[a] > value[b]; });
  }

  RouterSpec spec_;
};

}  // namespace thermoe::testing
