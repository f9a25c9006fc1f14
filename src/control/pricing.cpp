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

}  // namespace

PricedSample::PricedSample(std::shared_ptr<const Utilities> utilities,
                           const PricingParameters& parameters)
    : utilities_(std::move(utilities)), k_(parameters.k), bias_(parameters.bias) {
  const Utilities& u = *utilities_;
  const auto cells = static_cast<std::size_t>(u.layers()) * static_cast<std::size_t>(u.experts());
  THERMOE_EXPECT(u.finite(), "utilities hold NaN");
  THERMOE_EXPECT(k_ >= 1 && k_ <= u.k() && parameters.k_min >= 0, "k={} k_min={} experts={}", k_,
                 parameters.k_min, u.experts());
  THERMOE_EXPECT(bias_.empty() || bias_.size() == cells,
                 "bias has {} values, layers x experts is {}", bias_.size(), cells);
  THERMOE_EXPECT(parameters.unit_price.empty() || parameters.unit_price.size() == cells,
                 "unit_price has {} values, layers x experts is {}", parameters.unit_price.size(),
                 cells);
  loss_.assign(cells, 0.0F);
  threshold_.assign(cells, kNever);
  guaranteed_.assign(cells, 0);
  next_.assign(static_cast<std::size_t>(u.layers()) * static_cast<std::size_t>(u.tokens()), 0.0F);
  if (!bias_.empty()) rank_by_score();
  for (int l = 0; l < u.layers(); ++l) price_layer(l, parameters);
  // A threshold is not negative: its bits sort as it does.
  std::vector<std::uint64_t> keys;
  for (std::size_t e = 0; e < cells; ++e) {
    if (threshold_[e] < 0.0F || threshold_[e] == kAlways) continue;
    keys.push_back((static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(threshold_[e])) << 32) |
                   e);
  }
  std::sort(keys.begin(), keys.end());
  for (const std::uint64_t key : keys) {
    cells_.push_back(static_cast<std::uint32_t>(key));
    sorted_.push_back(threshold_[cells_.back()]);
  }
}

void PricedSample::rank_by_score() {
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  const int aim = std::min(u.reach(), 2 * k_ + 2);
  RowCut cut(std::min(k_ + 1, aim), aim);
  std::vector<float> score(experts), scratch;
  std::vector<std::uint64_t> keys;
  ranking_.reserve(next_.size(), static_cast<std::size_t>(aim) + 4, u.biased_losses());
  for (std::size_t row = 0; row < next_.size(); ++row) {
    const std::size_t base = row / static_cast<std::size_t>(u.tokens()) * experts;
    const auto mine = u.all().subspan(row * experts, experts);
    const auto selection = u.all_selection().subspan(row * experts, experts);
    for (std::size_t e = 0; e < experts; ++e) score[e] = selection[e] - bias_[base + e];
    keys.clear();
    for (const int i : cut.pass(u.reached(row, score, scratch))) {
      const int e = u.in_reach(row, i);
      keys.push_back(preference_key(score[static_cast<std::size_t>(e)], e));
    }
    std::sort(keys.begin(), keys.end());
    for (const std::uint64_t key : keys) {
      const auto e = static_cast<std::size_t>(expert_of(key));
      ranking_.add(expert_of(key), mine[e]);
      if (u.biased_losses()) ranking_.add_loss_score(selection[e]);
    }
    ranking_.end_row();
  }
}

const PricedSample::Order& PricedSample::sort_all(std::size_t row) const {
  Order& order = orders_[row];
  if (!order.expert.empty()) return order;
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  const std::size_t base = row / static_cast<std::size_t>(u.tokens()) * experts;
  std::vector<float> utility(experts), other;
  u.evaluate(row, utility);
  if (!u.plain()) u.evaluate_selection(row, other = utility);
  const std::vector<float>& selection = u.plain() ? utility : other;
  const auto take = [&](std::size_t e) {
    order.expert.push_back(static_cast<std::uint16_t>(e));
    order.utility.push_back(utility[e]);
    if (u.biased_losses()) order.loss_score.push_back(selection[e]);
  };
  std::vector<std::uint8_t> taken(experts, 0);
  for (const std::uint16_t e : ranking().experts(row)) take(e), taken[e] = 1;
  std::vector<std::uint64_t> keys;
  keys.reserve(static_cast<std::size_t>(u.reach()));
  for (int i = 0; i < u.reach(); ++i) {
    const auto e = static_cast<std::size_t>(u.in_reach(row, i));
    const float score = bias_.empty() ? selection[e] : selection[e] - bias_[base + e];
    if (taken[e] == 0) keys.push_back(preference_key(score, static_cast<int>(e)));
  }
  std::sort(keys.begin(), keys.end());
  for (const std::uint64_t key : keys) take(static_cast<std::size_t>(expert_of(key)));
  return order;
}

std::span<const std::uint16_t> PricedSample::full_order(std::size_t row) const {
  return sort_all(row).expert;
}

float PricedSample::utility(std::size_t row, std::size_t rank) const {
  const auto best = ranking().utilities(row);
  return rank < best.size() ? best[rank] : sort_all(row).utility[rank];
}

float PricedSample::next_of(std::size_t row, std::size_t base) const {
  const auto best = ranking().experts(row);
  for (std::size_t i = static_cast<std::size_t>(k_); i < best.size(); ++i) {
    if (picked(base + best[i])) return ranking().loss_scores(row)[i];
  }
  const auto reach = static_cast<std::size_t>(utilities_->reach());
  if (best.size() == reach) return 0.0F;
  const Order& order = sort_all(row);
  for (std::size_t i = best.size(); i < reach; ++i) {
    if (picked(base + order.expert[i])) {
      return order.loss_score.empty() ? order.utility[i] : order.loss_score[i];
    }
  }
  return 0.0F;
}

void PricedSample::price_layer(int layer, const PricingParameters& parameters) {
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  const auto tokens = static_cast<std::size_t>(u.tokens());
  const auto k = static_cast<std::size_t>(k_);
  const std::size_t base = static_cast<std::size_t>(layer) * experts;
  const std::size_t first = static_cast<std::size_t>(layer) * tokens;
  for (std::size_t row = first; row < first + tokens; ++row) {  // U and G
    const auto best = ranking().experts(row);
    for (std::size_t i = 0; i < k; ++i) {
      threshold_[base + best[i]] = 0.0F;
      if (static_cast<int>(i) < parameters.k_min) guaranteed_[base + best[i]] = 1;
    }
  }
  for (std::size_t row = first; row < first + tokens; ++row) {  // what losing a pick would cost
    const auto best = ranking().experts(row);
    const auto score = ranking().loss_scores(row);
    const float next = next_of(row, base);
    next_[row] = next;
    for (std::size_t i = 0; i < k; ++i) loss_[base + best[i]] += std::max(0.0F, score[i] - next);
  }
  for (std::size_t e = base; e < base + experts; ++e) {
    if (threshold_[e] < 0.0F) continue;
    const float price = parameters.unit_price.empty() ? 1.0F : parameters.unit_price[e];
    threshold_[e] = guaranteed_[e] != 0 ? kAlways : loss_[e] / price;
  }
}

RoutingStats PricedSample::loads(double lambda) const {
  std::vector<std::uint8_t> active(threshold_.size());
  for (std::size_t e = 0; e < active.size(); ++e) {
    active[e] = picked(e) && !(threshold_[e] < lambda) ? 1 : 0;
  }
  return loads_of(active);
}

RoutingStats PricedSample::loads_of(std::span<const std::uint8_t> active) const {
  const Utilities& u = *utilities_;
  const auto experts = static_cast<std::size_t>(u.experts());
  const auto tokens = static_cast<std::size_t>(u.tokens());
  const auto reach = static_cast<std::size_t>(u.reach());
  RoutingStats stats{.layers = u.layers(), .experts = u.experts(), .tokens = u.tokens()};
  stats.counts.assign(threshold_.size(), 0);
  KeptMass kept;
  for (std::size_t row = 0; row < next_.size(); ++row) {
    const std::size_t base = row / tokens * experts;
    std::span<const std::uint16_t> order = ranking().experts(row);
    int taken = 0;
    double own = 0.0;
    for (std::size_t i = 0; i < reach && taken < k_; ++i) {
      if (i == order.size()) order = full_order(row);
      const std::size_t e = base + order[i];
      if (active[e] == 0) continue;
      ++stats.counts[e];
      ++taken;
      own += utility(row, i);
    }
    kept.add(u.kept(row, own));
  }
  stats.kept_mass = kept.mean();
  stats.quality_loss = kept.quality_loss();
  return stats;
}

std::vector<RoutingStats> plain_loads(const Utilities& u) {
  const auto k = static_cast<std::size_t>(u.k());
  const auto experts = static_cast<std::size_t>(u.experts());
  std::vector<RoutingStats> result(
      k, {.layers = u.layers(), .experts = u.experts(), .tokens = u.tokens()});
  for (RoutingStats& stats : result) {
    stats.counts.assign(static_cast<std::size_t>(u.layers()) * experts, 0);
  }
  std::vector<KeptMass> kept(k);
  const std::size_t tokens = static_cast<std::size_t>(u.tokens());
  for (std::size_t row = 0; row < static_cast<std::size_t>(u.layers()) * tokens; ++row) {
    const auto best = u.ranking().experts(row);
    const auto utility = u.ranking().utilities(row);
    double own = 0.0;
    for (std::size_t i = 0; i < k; ++i) {
      for (std::size_t j = i; j < k; ++j) {  // the (i+1)-th best is picked by every k > i
        ++result[j].counts[row / tokens * experts + best[i]];
      }
      own += utility[i];
      kept[i].add(u.kept(row, own));
    }
  }
  for (std::size_t i = 0; i < k; ++i) {
    result[i].kept_mass = kept[i].mean();
    result[i].quality_loss = kept[i].quality_loss();
  }
  return result;
}

}  // namespace thermoe
