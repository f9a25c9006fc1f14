// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "core/logit_sample.h"
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

  LogitSample next() {
    LogitSample s{.layers = layers_, .tokens = tokens_, .experts = experts_};
    s.logits.reserve(popularity_.size() * tokens_);
    for (int l = 0; l < layers_; ++l) {
      for (int t = 0; t < tokens_; ++t) {
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

/// design.md section 5's rule read literally, in float64: the tests' oracle for control's
/// evaluation, and the data plane of the closed-loop tests.
class ReferenceRouter {
 public:
  /// `base_k`: the k by which utilities are normalised.
  explicit ReferenceRouter(int base_k) : base_k_(base_k) {}

  RoutingStats route(const LogitSample& sample, const RoutingPlan& plan) const {
    RoutingStats stats{.layers = sample.layers, .experts = sample.experts, .tokens = sample.tokens};
    double kept = 0.0;
    for (int l = 0; l < sample.layers; ++l) kept += route_layer(sample, plan, l, stats.counts);
    stats.kept_mass = kept / (sample.layers * sample.tokens);
    return stats;
  }

 private:
  double route_layer(const LogitSample& s, const RoutingPlan& plan, int l,
                     std::vector<std::int32_t>& counts) const {
    const auto bias = plan.selection_bias(l);
    const auto price = plan.activation_price(l);
    const LayerPlan& rule = plan.layer(l);
    std::vector<std::vector<double>> u(s.tokens);
    std::vector<std::vector<int>> order(s.tokens);  // by score, all experts
    std::vector<int> k(s.tokens, rule.k);
    std::set<int> everyone, guaranteed;
    const int extra = static_cast<int>(std::lround(rule.extra_k_share * s.tokens));
    for (int t = 0; t < s.tokens; ++t) {
      if (t < extra) ++k[t];
      u[t] = utilities(s.layer(l).subspan(static_cast<std::size_t>(t) * s.experts, s.experts));
      order[t].resize(s.experts);
      std::iota(order[t].begin(), order[t].end(), 0);
      std::stable_sort(order[t].begin(), order[t].end(), [&, t](int a, int b) {
        return static_cast<float>(u[t][a]) - bias[a] > static_cast<float>(u[t][b]) - bias[b];
      });
      everyone.insert(order[t].begin(), order[t].begin() + k[t]);
      guaranteed.insert(order[t].begin(), order[t].begin() + std::min(rule.k_min, k[t]));
    }
    std::vector<double> loss(s.experts, 0.0);
    for (int t = 0; t < s.tokens; ++t) {
      double next = 0.0;
      for (int i = s.experts - 1; i >= k[t]; --i) {
        if (everyone.count(order[t][i]) != 0) next = u[t][order[t][i]];
      }
      for (int i = 0; i < k[t]; ++i) loss[order[t][i]] += std::max(0.0, u[t][order[t][i]] - next);
    }
    std::set<int> active = guaranteed;
    for (const int e : everyone) {
      if (loss[e] >= price[e]) active.insert(e);
    }
    const std::size_t base = counts.size();
    counts.resize(base + s.experts, 0);
    double kept = 0.0;
    for (int t = 0; t < s.tokens; ++t) {
      int taken = 0;
      for (int i = 0; i < s.experts && taken < k[t]; ++i) {
        const int e = order[t][i];
        if (active.count(e) == 0) continue;
        ++counts[base + e];
        ++taken;
        kept += u[t][e];
      }
    }
    return kept;
  }

  std::vector<double> utilities(std::span<const float> logits) const {
    std::vector<double> p(logits.size());
    std::transform(logits.begin(), logits.end(), p.begin(),
                   [](float x) { return std::exp(double{x}); });
    std::vector<double> sorted = p;
    std::sort(sorted.rbegin(), sorted.rend());
    const double mass = std::accumulate(sorted.begin(), sorted.begin() + base_k_, 0.0);
    for (double& x : p) x /= mass;
    return p;
  }

  int base_k_;
};

}  // namespace thermoe::testing
