// SPDX-License-Identifier: Apache-2.0
#include "control/batch_demand.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kMemory{20.0};    // of pick frequencies: texts change, popularity hardly does
constexpr Seconds kNewTable{1.0};   // frequencies change little in a second, and a table costs 1 ms
constexpr double kPriorTokens = 8;  // that pick at random: an expert not yet seen may still come
constexpr double kLeastAlike = 1e-4, kMostAlike = 1.0;

}  // namespace

BatchDemand::BatchDemand(const ControllerConfig& config)
    : layers_(config.layers),
      k_(config.router.k),
      variants_(config.costs.variants.size()),
      variant_(config.variant),
      picks_(
          static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(config.router.experts),
          0.0F) {
  THERMOE_EXPECT(config.engine.has_value(), "batches at other rows need an engine, none is given");
  most_ = static_cast<std::size_t>(config.engine->rows(config.engine->batch_limit));
  for (const LogitSample& sample : config.calibration) {
    learn(plain_loads(Utilities(sample, config.router)).back(), config.tick);
  }
}

void BatchDemand::learn(const RoutingStats& plain, Seconds dt) {
  if (plain.tokens <= 0) return;
  const bool first = empty();
  const auto keep = static_cast<float>(std::exp(-(dt / kMemory)));
  for (std::size_t i = 0; i < picks_.size(); ++i) {
    picks_[i] = keep * picks_[i] + static_cast<float>(plain.counts[i]);
  }
  tokens_ = static_cast<double>(keep) * tokens_ + plain.tokens;
  since_table_ += dt;
  if (plain.tokens > 1) seen_.push_back({plain.tokens, plain.mean_active() * layers_});
  if (first || since_table_ >= kNewTable) tabulate();
}

// Rows of a step share what is frequent in it: the frequency of an expert in a step is a draw about
// its mean (a beta law), and the j-th row that meets only rows without it picks it by 1/(1 + j a).
template <class Each>
void BatchDemand::idle_by_rows(double alike, std::size_t most, const Each& each) const {
  std::vector<float> idle(often_.size(), 1.0F);
  for (std::size_t j = 0; j < most; ++j) {
    const auto weight = static_cast<float>(1.0 / (1.0 + alike * static_cast<double>(j)));
    for (std::size_t i = 0; i < idle.size(); ++i) idle[i] *= 1.0F - weight * often_[i];
    each(j + 1, idle);
  }
}

void BatchDemand::tabulate() {
  since_table_ = Seconds(0);
  const double even = static_cast<double>(k_) * layers_ / static_cast<double>(picks_.size());
  often_.resize(picks_.size());
  share_.assign(variants_, 0.0);
  for (std::size_t i = 0; i < picks_.size(); ++i) {
    const double often =
        std::min(1.0, (picks_[i] + kPriorTokens * even) / (tokens_ + kPriorTokens));
    often_[i] = static_cast<float>(often);
    share_[variant_.empty() ? 0 : variant_[i]] += often / (static_cast<double>(k_) * layers_);
  }
  learn_alikeness();
  table_.assign(variants_ * (most_ + 1), 0.0);
  idle_by_rows(std::exp(log_alike_.value()), most_, [&](std::size_t rows, const auto& idle) {
    for (std::size_t i = 0; i < idle.size(); ++i) {
      const std::size_t v = variant_.empty() ? 0 : variant_[i];
      table_[v * (most_ + 1) + rows] += 1.0 - static_cast<double>(idle[i]);
    }
  });
}

double BatchDemand::distinct_of_seen(double alike) const {
  int most = 0;
  for (const Seen& step : seen_) most = std::max(most, step.rows);
  double sum = 0.0;
  idle_by_rows(alike, static_cast<std::size_t>(most), [&](std::size_t rows, const auto& idle) {
    const auto steps = std::count_if(seen_.begin(), seen_.end(), [rows](const Seen& step) {
      return static_cast<std::size_t>(step.rows) == rows;
    });
    if (steps == 0) return;
    double distinct = 0.0;
    for (const float x : idle) distinct += 1.0 - static_cast<double>(x);
    sum += static_cast<double>(steps) * distinct;
  });
  return sum;
}

void BatchDemand::learn_alikeness() {
  if (seen_.empty()) return;
  double seen = 0.0;
  for (const Seen& step : seen_) seen += step.distinct;
  double low = std::log(kLeastAlike), high = std::log(kMostAlike);
  for (int i = 0; i < 12; ++i) {  // to a quarter of a per cent of what the range spans
    const double middle = 0.5 * (low + high);
    (distinct_of_seen(std::exp(middle)) > seen ? low : high) = middle;
  }
  log_alike_.update(0.5 * (low + high), kNewTable);
  seen_.clear();
}

double BatchDemand::distinct(std::size_t variant, int rows) const {
  const auto place = std::min(static_cast<std::size_t>(std::max(rows, 1)), most_);
  return table_[variant * (most_ + 1) + place];
}

double BatchDemand::active(int rows) const {
  double sum = 0.0;
  for (std::size_t v = 0; v < variants_; ++v) sum += distinct(v, rows);
  return sum / layers_;
}

Demand BatchDemand::at(int rows, const StepCost& costs) const {
  Demand demand{.cost = static_cast<double>(layers_) * costs.layer_constant};
  for (std::size_t v = 0; v < variants_; ++v) {
    const double experts = distinct(v, rows);
    if (experts <= 0.0) continue;
    const double picks = share_[v] * rows * k_ * layers_;
    demand.cost += experts * costs.variants[v].at(std::max(1.0, picks / experts));
    demand.active += experts / layers_;
  }
  demand.cost = costs.layer_repeat * demand.cost;
  return demand;
}

}  // namespace thermoe
