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
constexpr double kMostAlone = 2.0;  // rows that pick less alike than on their own: few were seen

std::size_t variants_of(const ControllerConfig& config) { return config.costs.variants.size(); }

}  // namespace

BatchDemand::BatchDemand(const ControllerConfig& config)
    : layers_(config.layers),
      k_(config.router.k),
      variants_(variants_of(config)),
      variant_(config.variant),
      picks_(
          static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(config.router.experts),
          0.0F) {
  THERMOE_EXPECT(config.engine.has_value(), "batches at other rows need an engine, none is given");
  most_ = static_cast<std::size_t>(kMostAlone) *
          static_cast<std::size_t>(config.engine->rows(config.engine->batch_limit));
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
  if (first || since_table_ >= kNewTable) tabulate();
  learn_likeness(plain, dt);
}

void BatchDemand::learn_likeness(const RoutingStats& plain, Seconds dt) {
  if (plain.tokens < 2) return;  // one row is on its own
  const double seen = plain.mean_active() * layers_;
  double low = 1.0;
  auto high = static_cast<double>(most_);
  for (int i = 0; i < 24; ++i) {
    const double middle = 0.5 * (low + high);
    (distinct(middle) < seen ? low : high) = middle;
  }
  likeness_.update(std::min((low - 1.0) / (plain.tokens - 1.0), kMostAlone), dt);
}

// (1 - q)^rows by one product a row: as many as 6144 experts are asked for each.
void BatchDemand::tabulate() {
  since_table_ = Seconds(0);
  const double even = static_cast<double>(k_) * layers_ / static_cast<double>(picks_.size());
  distinct_.assign(variants_ * (most_ + 1), 0.0);
  share_.assign(variants_, 0.0);
  std::vector<float> idle(picks_.size(), 1.0F), miss(picks_.size());
  const double all = static_cast<double>(k_) * layers_;
  for (std::size_t i = 0; i < picks_.size(); ++i) {
    const double q = (picks_[i] + kPriorTokens * even) / (tokens_ + kPriorTokens);
    miss[i] = static_cast<float>(std::max(0.0, 1.0 - q));
    share_[variant_.empty() ? 0 : variant_[i]] += q / all;
  }
  for (std::size_t rows = 1; rows <= most_; ++rows) {
    for (std::size_t i = 0; i < picks_.size(); ++i) idle[i] *= miss[i];
    for (std::size_t i = 0; i < picks_.size(); ++i) {
      const std::size_t v = variant_.empty() ? 0 : variant_[i];
      distinct_[v * (most_ + 1) + rows] += 1.0 - static_cast<double>(idle[i]);
    }
  }
}

double BatchDemand::distinct(std::size_t variant, double rows) const {
  const double place = std::clamp(rows, 0.0, static_cast<double>(most_));
  const auto low = std::min(static_cast<std::size_t>(place), most_ - 1);
  const double* of = &distinct_[variant * (most_ + 1)];
  return of[low] + (place - static_cast<double>(low)) * (of[low + 1] - of[low]);
}

double BatchDemand::distinct(double rows) const {
  double sum = 0.0;
  for (std::size_t v = 0; v < variants_; ++v) sum += distinct(v, rows);
  return sum;
}

double BatchDemand::alone(double rows) const { return 1.0 + likeness_.value() * (rows - 1.0); }

double BatchDemand::active(int rows) const { return distinct(alone(rows)) / layers_; }

Demand BatchDemand::at(int rows, const StepCost& costs) const {
  Demand demand{.cost = static_cast<double>(layers_) * costs.layer_constant};
  for (std::size_t v = 0; v < variants_; ++v) {
    const double experts = distinct(v, alone(rows));
    if (experts <= 0.0) continue;
    const double picks = share_[v] * rows * k_ * layers_;
    demand.cost += experts * costs.variants[v].at(std::max(1.0, picks / experts));
    demand.active += experts / layers_;
  }
  demand.cost = costs.layer_repeat * demand.cost;
  return demand;
}

}  // namespace thermoe
