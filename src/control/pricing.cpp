// SPDX-License-Identifier: Apache-2.0
#include "control/pricing.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr float kNever = -1.0F;  // threshold of an expert outside U: no lambda keeps it
constexpr float kAlways = std::numeric_limits<float>::infinity();

/// Sorts like (score falling, id rising): one integer compare instead of two.
std::uint64_t preference_key(float score, int expert) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 sorts as 0
  const std::uint32_t rising = (bits & 0x8000'0000U) != 0 ? ~bits : bits | 0x8000'0000U;
  return (static_cast<std::uint64_t>(~rising) << 32) | static_cast<std::uint32_t>(expert);
}

int expert_of(std::uint64_t key) { return static_cast<int>(key & 0xffff'ffffU); }

}  // namespace

PricedSample::PricedSample(std::shared_ptr<const Utilities> utilities,
                           const PricingParameters& parameters)
    : utilities_(std::move(utilities)), k_(parameters.k) {
  const Utilities& u = *utilities_;
  const auto cells = static_cast<std::size_t>(u.layers()) * static_cast<std::size_t>(u.experts());
  THERMOE_EXPECT(u.finite(), "utilities hold NaN");
  THERMOE_EXPECT(k_ >= 1 && k_ <= u.experts() && parameters.k_min >= 0, "k={} k_min={} experts={}",
                 k_, parameters.k_min, u.experts());
  THERMOE_EXPECT(parameters.bias.empty() || parameters.bias.size() == cells,
                 "bias has {} values, layers x experts is {}", parameters.bias.size(), cells);
  THERMOE_EXPECT(parameters.unit_price.empty() || parameters.unit_price.size() == cells,
                 "unit_price has {} values, layers x experts is {}", parameters.unit_price.size(),
                 cells);
  loss_.assign(cells, 0.0F);
  threshold_.assign(cells, kNever);
  guaranteed_.assign(cells, 0);
  next_.assign(static_cast<std::size_t>(u.layers()) * static_cast<std::size_t>(u.tokens()), 0.0F);
  layers_.resize(static_cast<std::size_t>(u.layers()));
  for (int l = 0; l < u.layers(); ++l) prepare_layer(l, parameters);
  std::copy_if(threshold_.begin(), threshold_.end(), std::back_inserter(sorted_),
               [](float x) { return x >= 0.0F && x < kAlways; });
  std::sort(sorted_.begin(), sorted_.end());
}

void PricedSample::prepare_layer(int layer, const PricingParameters& parameters) {
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  const auto k = static_cast<std::size_t>(k_);
  const std::size_t base = static_cast<std::size_t>(layer) * experts;
  const auto score = [&](std::span<const float> row, std::size_t e) {
    return parameters.bias.empty() ? row[e] : row[e] - parameters.bias[base + e];
  };

  // U and G: each token's k and k_min best by score.
  std::vector<std::uint64_t> keys(experts);
  for (int t = 0; t < u.tokens(); ++t) {
    const auto row = u.row(layer, t);
    for (std::size_t e = 0; e < experts; ++e)
      keys[e] = preference_key(score(row, e), static_cast<int>(e));
    std::partial_sort(keys.begin(), keys.begin() + k_, keys.end());
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t e = base + static_cast<std::size_t>(expert_of(keys[i]));
      threshold_[e] = 0.0F;
      if (static_cast<int>(i) < parameters.k_min) guaranteed_[e] = 1;
    }
  }
  std::vector<int> members;
  for (std::size_t e = 0; e < experts; ++e) {
    if (threshold_[base + e] >= 0.0F) members.push_back(static_cast<int>(e));
  }

  // Each token's order within U, and what losing each of its picks would cost it.
  layers_[static_cast<std::size_t>(layer)] = {static_cast<int>(members.size()), order_.size()};
  keys.resize(members.size());
  for (int t = 0; t < u.tokens(); ++t) {
    const auto row = u.row(layer, t);
    std::transform(members.begin(), members.end(), keys.begin(), [&](int e) {
      return preference_key(score(row, static_cast<std::size_t>(e)), e);
    });
    std::sort(keys.begin(), keys.end());
    for (const std::uint64_t key : keys)
      order_.push_back(static_cast<std::uint16_t>(expert_of(key)));
    const float next =
        members.size() > k ? row[static_cast<std::size_t>(expert_of(keys[k]))] : 0.0F;
    next_[static_cast<std::size_t>(layer) * static_cast<std::size_t>(u.tokens()) +
          static_cast<std::size_t>(t)] = next;
    for (std::size_t i = 0; i < k; ++i) {
      const auto e = static_cast<std::size_t>(expert_of(keys[i]));
      loss_[base + e] += std::max(0.0F, row[e] - next);
    }
  }
  for (const int member : members) {
    const std::size_t e = base + static_cast<std::size_t>(member);
    const float price = parameters.unit_price.empty() ? 1.0F : parameters.unit_price[e];
    threshold_[e] = guaranteed_[e] != 0 ? kAlways : loss_[e] / price;
  }
}

RoutingStats PricedSample::loads(double lambda) const {
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  RoutingStats stats{.layers = u.layers(), .experts = u.experts(), .tokens = u.tokens()};
  stats.counts.assign(threshold_.size(), 0);
  double kept = 0.0;
  for (int l = 0; l < u.layers(); ++l) {
    const std::size_t base = static_cast<std::size_t>(l) * experts;
    const Layer& layer = layers_[static_cast<std::size_t>(l)];
    for (int t = 0; t < u.tokens(); ++t) {
      const auto row = u.row(l, t);
      const std::size_t begin =
          layer.order_begin + static_cast<std::size_t>(t) * static_cast<std::size_t>(layer.members);
      int taken = 0;
      for (int i = 0; i < layer.members && taken < k_; ++i) {
        const std::size_t e = order_[begin + static_cast<std::size_t>(i)];
        if (threshold_[base + e] < lambda) continue;
        ++stats.counts[base + e];
        ++taken;
        kept += row[e];
      }
    }
  }
  stats.kept_mass = kept / (static_cast<double>(u.layers()) * u.tokens());
  return stats;
}

std::vector<RoutingStats> plain_loads(const Utilities& u) {
  const auto k = static_cast<std::size_t>(u.k());
  const auto experts = static_cast<std::size_t>(u.experts());
  std::vector<RoutingStats> result(
      k, {.layers = u.layers(), .experts = u.experts(), .tokens = u.tokens()});
  for (RoutingStats& stats : result) {
    stats.counts.assign(static_cast<std::size_t>(u.layers()) * experts, 0);
    stats.kept_mass = 0.0;
  }
  std::vector<std::uint64_t> keys(experts);
  for (int l = 0; l < u.layers(); ++l) {
    for (int t = 0; t < u.tokens(); ++t) {
      const auto row = u.row(l, t);
      for (std::size_t e = 0; e < experts; ++e)
        keys[e] = preference_key(row[e], static_cast<int>(e));
      std::partial_sort(keys.begin(), keys.begin() + u.k(), keys.end());
      for (std::size_t i = 0; i < k; ++i) {
        const auto e = static_cast<std::size_t>(expert_of(keys[i]));
        for (std::size_t j = i; j < k; ++j) {  // the (i+1)-th best is picked by every k > i
          ++result[j].counts[static_cast<std::size_t>(l) * experts + e];
          result[j].kept_mass += row[e];
        }
      }
    }
  }
  for (RoutingStats& stats : result)
    stats.kept_mass /= static_cast<double>(u.layers()) * u.tokens();
  return result;
}

}  // namespace thermoe
