// SPDX-License-Identifier: Apache-2.0
#include "control/active_mask.h"

#include <algorithm>
#include <numeric>

#include "control/pricing.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// lambda in the prices themselves: that of `parameters` is 1, or 0 where nothing is priced.
struct PlanPrices {
  PricingParameters parameters{};
  double lambda = 1.0;

  explicit PlanPrices(const RoutingPlan& plan)
      : parameters{.k = plan.layer(0).k, .k_min = plan.layer(0).k_min} {
    const auto gather = [&plan](auto&& row_of) {
      std::vector<float> all;
      for (int l = 0; l < plan.layers(); ++l) {
        const auto row = row_of(l);
        all.insert(all.end(), row.begin(), row.end());
      }
      return all;
    };
    parameters.bias = gather([&](int l) { return plan.selection_bias(l); });
    if (std::ranges::all_of(parameters.bias, [](float b) { return b == 0.0F; })) {
      parameters.bias.clear();
    }
    parameters.unit_price = gather([&](int l) { return plan.activation_price(l); });
    if (!std::ranges::all_of(parameters.unit_price, [](float p) { return p > 0.0F; })) {
      parameters.unit_price.clear();
      lambda = 0.0;
    }
  }
};

/// Experts of a layer in the order in which a mask takes them, and how many it needs at least.
struct LayerOrder {
  std::vector<int> experts{};
  int least = 1;
};

/// First what every group needs, then by falling worth; ties by id.
LayerOrder order_of(std::span<const double> worth, const RouterSpec& router, int k) {
  const int size = router.experts / router.groups;
  // Two of a group: by the sum of its two best a group is chosen.
  const int needed =
      router.group_limited() ? std::max(2, (k + router.groups_kept - 1) / router.groups_kept) : k;
  LayerOrder order{.least = std::min(needed, size) * router.groups};
  std::vector<int> best(worth.size());
  std::iota(best.begin(), best.end(), 0);
  std::ranges::stable_sort(best, [&](int a, int b) { return worth[a] > worth[b]; });
  std::vector<int> taken(static_cast<std::size_t>(router.groups), 0);
  std::vector<int> rest;
  for (const int e : best) {
    (taken[static_cast<std::size_t>(e / size)]++ < needed ? order.experts : rest).push_back(e);
  }
  order.experts.insert(order.experts.end(), rest.begin(), rest.end());
  return order;
}

class MaskSearch {
 public:
  MaskSearch(const RoutingPlan& plan, const RouterSpec& router,
             std::span<const std::shared_ptr<const Utilities>> samples)
      : layers_(plan.layers()), experts_(plan.experts()) {
    const PlanPrices prices(plan);
    std::vector<double> worth(static_cast<std::size_t>(layers_) * experts_, 0.0);
    wanted_.assign(static_cast<std::size_t>(layers_), 0.0);
    for (const auto& sample : samples) {
      samples_.emplace_back(sample, prices.parameters);
      const PricedSample& priced = samples_.back();
      add_active(priced.loads(prices.lambda), wanted_);
      for (std::size_t cell = 0; cell < worth.size(); ++cell) {
        // Those that no price drops come before all others: no loss is above a token's whole mass.
        worth[cell] +=
            priced.losses()[cell] + (priced.guaranteed()[cell] != 0 ? sample->tokens() + 1.0 : 0.0);
      }
    }
    for (int l = 0; l < layers_; ++l) {
      orders_.push_back(
          order_of(std::span(worth).subspan(static_cast<std::size_t>(l) * experts_, experts_),
                   router, prices.parameters.k));
    }
  }

  /// The largest masks that run no more than the prices do, by bisection in all layers at once.
  std::vector<std::uint8_t> find() const {
    std::vector<int> low, high;  // the one fits, or is the least there may be; the other does not
    for (const LayerOrder& order : orders_) {
      low.push_back(order.least);
      high.push_back(experts_ + 1);
    }
    const auto open = [&] {
      for (std::size_t l = 0; l < low.size(); ++l) {
        if (high[l] - low[l] > 1) return true;
      }
      return false;
    };
    while (open()) {
      std::vector<int> tried(low.size());
      for (std::size_t l = 0; l < low.size(); ++l) tried[l] = (low[l] + high[l]) / 2;
      const std::vector<double> active = active_under(mask_of(tried));
      for (std::size_t l = 0; l < low.size(); ++l) {
        if (high[l] - low[l] <= 1) continue;
        (active[l] <= wanted_[l] ? low : high)[l] = tried[l];
      }
    }
    return mask_of(low);
  }

 private:
  static void add_active(const RoutingStats& stats, std::vector<double>& sums) {
    for (int l = 0; l < stats.layers; ++l) sums[static_cast<std::size_t>(l)] += stats.active(l);
  }

  std::vector<std::uint8_t> mask_of(const std::vector<int>& sizes) const {
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(layers_) * experts_, 0);
    for (std::size_t l = 0; l < sizes.size(); ++l) {
      for (int i = 0; i < sizes[l]; ++i) {
        mask[l * experts_ + static_cast<std::size_t>(orders_[l].experts[i])] = 1;
      }
    }
    return mask;
  }

  /// Distinct experts of each layer, summed over the samples.
  std::vector<double> active_under(const std::vector<std::uint8_t>& mask) const {
    std::vector<double> active(static_cast<std::size_t>(layers_), 0.0);
    for (const PricedSample& sample : samples_) add_active(sample.loads_of(mask), active);
    return active;
  }

  int layers_, experts_;
  std::vector<PricedSample> samples_{};
  std::vector<LayerOrder> orders_{};
  std::vector<double> wanted_{};  ///< distinct experts that the prices run, summed likewise
};

}  // namespace

RoutingStats routed_by(const RoutingPlan& plan, const std::shared_ptr<const Utilities>& sample) {
  const PlanPrices prices(plan);
  return PricedSample(sample, prices.parameters).loads(prices.lambda);
}

RoutingStats routed_among(std::span<const std::uint8_t> active,
                          const std::shared_ptr<const Utilities>& sample) {
  return PricedSample(sample, {.k = sample->k()}).loads_of(active);
}

std::vector<std::uint8_t> active_mask(const RoutingPlan& plan, const RouterSpec& router,
                                      std::span<const std::shared_ptr<const Utilities>> samples) {
  THERMOE_EXPECT(plan.experts() == router.experts, "a plan of {} experts for a router of {}",
                 plan.experts(), router.experts);
  if (samples.empty() || PlanPrices(plan).lambda == 0.0) {
    return std::vector<std::uint8_t>(
        static_cast<std::size_t>(plan.layers()) * static_cast<std::size_t>(plan.experts()), 1);
  }
  return MaskSearch(plan, router, samples).find();
}

}  // namespace thermoe
