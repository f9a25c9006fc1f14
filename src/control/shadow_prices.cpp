// SPDX-License-Identifier: Apache-2.0
#include "control/shadow_prices.h"

#include <algorithm>
#include <cmath>

#include "control/fermi_rows.h"
#include "control/proximal_step.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// Mean over cells of a resource's last slopes: the unit in which its prices are like u.
double typical_slope(const CappedResource& r) {
  if (r.curves.empty()) return 1.0;  // HardwareTerm refuses it
  double sum = 0.0, count = 0.0;
  const auto add = [&](const ConvexCurve& c) { sum += c.slope.back(), count += 1.0; };
  if (r.curve_of.empty()) {
    add(r.curves.front());
  } else {
    for (const std::uint8_t c : r.curve_of)
      add(r.curves[std::min<std::size_t>(c, r.curves.size() - 1)]);
  }
  return sum > 0.0 ? sum / count : 1.0;
}

/// The same problem with each resource counted in units of its slope.
PriceProblem in_units(PriceProblem p, const std::vector<double>& unit) {
  for (std::size_t r = 0; r < p.resources.size(); ++r) {
    CappedResource& c = p.resources[r];
    c.cap /= unit[r], c.constant /= unit[r], c.price_ceiling *= unit[r];
    for (ConvexCurve& curve : c.curves) {
      for (double& v : curve.value) v /= unit[r];
      for (double& s : curve.slope) s /= unit[r];
    }
  }
  return p;
}

void scale_prices(HardwarePrices& p, const std::vector<double>& unit, const HardwareTerm& term,
                  bool to_units) {
  std::vector<double> of_slot;
  for (std::size_t r = 0; r < unit.size(); ++r) {
    const double f = to_units ? unit[r] : 1.0 / unit[r];
    p.resource[r] *= f;
    of_slot.insert(of_slot.end(), term.resources()[r].slots, f);
  }
  for (std::size_t i = 0; i < p.device.size(); ++i) p.device[i] *= of_slot[i % of_slot.size()];
}

/// What one sweep at some prices says of both sides of eq. (19).
struct Iterate {
  HardwarePrices prices{};
  FermiLoads loads{};
  std::vector<double> use{};
  double primal = 0.0, dual = 0.0;
};

class Search {
 public:
  Search(const PriceProblem& problem, const PriceSolverOptions& options)
      : options_(options),
        rows_(problem.scores, problem.layers, problem.tokens, problem.experts, problem.k,
              problem.tau),
        hardware_(problem),
        tokens_(static_cast<double>(problem.layers) * problem.tokens),
        floor_(1e-6 * problem.tokens * problem.k / (problem.experts * problem.tau)),
        noise_(3e-7 * tokens_),
        slack_(problem.resources.size(), 0.0) {}

  Iterate run(WarmStart& warm);
  int sweeps() const { return sweeps_; }
  bool converged() const { return converged_; }
  const HardwareTerm& hardware() const { return hardware_; }

 private:
  Iterate at(HardwarePrices prices);
  bool done(const Iterate& i) const;
  std::vector<double> scaled_curvature(const Iterate& i, double scale) const;
  void choose_slack(const Iterate& i);
  double merit(const Iterate& i) const;
  struct Curvature {
    double of_expected = 0.0, of_diagonal = 1.0;
  };
  Curvature curvature(const Iterate& from, const Iterate& to, std::span<const double> metric) const;

  PriceSolverOptions options_;
  FermiRows rows_;
  HardwareTerm hardware_;
  double tokens_, floor_, noise_;
  std::vector<double> slack_;
  int sweeps_ = 0;
  bool converged_ = false;
};

Iterate Search::at(HardwarePrices prices) {
  Iterate i{.prices = std::move(prices)};
  rows_.sweep(i.prices.bias, options_.threads, i.loads);
  ++sweeps_;
  i.use = hardware_.use(i.loads.load);
  double paid = 0.0;
  for (std::size_t c = 0; c < i.loads.load.size(); ++c) paid += i.prices.bias[c] * i.loads.load[c];
  i.primal = i.loads.value - paid + hardware_.excess(i.use);
  i.dual = i.loads.value - hardware_.conjugate(i.prices);
  return i;
}

/// The gap is reached, and no cap is broken that its price can hold.
bool Search::done(const Iterate& i) const {
  for (std::size_t r = 0; r < i.use.size(); ++r) {
    if (i.use[r] > hardware_.resources()[r].cap &&
        i.prices.resource[r] < 0.999999 * hardware_.resources()[r].ceiling) {
      return false;
    }
  }
  return i.primal - i.dual <= options_.gap * tokens_;
}

std::vector<double> Search::scaled_curvature(const Iterate& i, double scale) const {
  std::vector<double> m = i.loads.curvature;
  for (double& w : m) w = scale * std::max(w, floor_);
  return m;
}

/// Caps are aimed at a little below, by what costs a quarter of the gap, so that loads which have
/// nearly converged keep them.
void Search::choose_slack(const Iterate& i) {
  for (std::size_t r = 0; r < slack_.size(); ++r) {
    const double price = std::max(i.prices.resource[r], 1e-3);
    slack_[r] = 0.25 * options_.gap * tokens_ / (price * static_cast<double>(slack_.size()));
    slack_[r] = std::min(slack_[r], 1e-3 * std::abs(hardware_.resources()[r].cap));
  }
}

/// The dual with the lowered caps, which a step shall raise.
double Search::merit(const Iterate& i) const {
  double value = i.dual;
  for (std::size_t r = 0; r < slack_.size(); ++r) value += i.prices.resource[r] * slack_[r];
  return value;
}

/// What loads lost along a step, over what the metric expected; and over the diagonal of the
/// curvature, to which a price common to a layer adds nothing.
Search::Curvature Search::curvature(const Iterate& from, const Iterate& to,
                                    std::span<const double> metric) const {
  const std::size_t layers = from.prices.shift.size(), cells = from.prices.bias.size();
  const std::size_t experts = cells / layers;
  double seen = 0.0, expected = 0.0, diagonal = 0.0;
  for (std::size_t l = 0; l < layers; ++l) {
    const auto weight = [&](std::size_t c) {
      return std::max(0.5 * (from.loads.curvature[c] + to.loads.curvature[c]), floor_);
    };
    double sum = 0.0, mean = 0.0;
    for (std::size_t c = l * experts; c < (l + 1) * experts; ++c) {
      sum += weight(c), mean += weight(c) * (to.prices.bias[c] - from.prices.bias[c]);
    }
    mean /= sum;
    for (std::size_t c = l * experts; c < (l + 1) * experts; ++c) {
      const double d = to.prices.bias[c] - from.prices.bias[c];
      seen += (from.loads.load[c] - to.loads.load[c]) * (d - mean);
      expected += metric[c] * d * d;
      diagonal += weight(c) * (d - mean) * (d - mean);
    }
  }
  return {expected > 0.0 ? seen / expected : 0.0, diagonal > 0.0 ? seen / diagonal : 1.0};
}

Iterate Search::run(WarmStart& warm) {
  double scale = 1.0;
  HardwarePrices start = hardware_.free();
  if (hardware_.fits(warm.prices)) {
    start = warm.prices;
    hardware_.admit(start);
    scale = warm.metric_scale;
  }
  Iterate now = at(std::move(start));
  while (!(converged_ = done(now)) && sweeps_ < options_.max_sweeps) {
    choose_slack(now);
    const std::vector<double> metric = scaled_curvature(now, scale);
    Iterate next = at(proximal_step(hardware_, now.prices, now.loads.load, metric, slack_));
    if (done(next)) {
      now = std::move(next);
      continue;
    }
    const Curvature curvature = this->curvature(now, next, metric);
    // Half of what was expected is proof that the dual rose (docs/theory.md, after eq. (27)); else
    // it must be seen, as far as sums of f32 tell.
    const bool rose = curvature.of_expected <= 0.5 || merit(next) >= merit(now) - noise_;
    if (rose) {
      scale = std::clamp(curvature.of_diagonal, 0.05, 50.0);
      now = std::move(next);
    } else {
      scale = std::clamp(curvature.of_diagonal, 2.0 * scale, 20.0 * scale);
    }
  }
  warm.metric_scale = std::clamp(scale, 0.05, 2.0);
  return now;
}

}  // namespace

ShadowPrices solve_prices(const PriceProblem& problem, const PriceSolverOptions& options,
                          WarmStart& warm) {
  THERMOE_EXPECT(options.gap > 0.0 && options.max_sweeps >= 1 && options.threads >= 1,
                 "gap={}, sweeps={}, threads={} must be above 0", options.gap, options.max_sweeps,
                 options.threads);
  std::vector<double> unit;
  for (const CappedResource& r : problem.resources) unit.push_back(typical_slope(r));
  const PriceProblem scaled = in_units(problem, unit);
  Search search(scaled, options);
  if (search.hardware().fits(warm.prices)) scale_prices(warm.prices, unit, search.hardware(), true);
  const Iterate end = search.run(warm);
  ShadowPrices result{.price = search.hardware().shadow(end.prices),
                      .load = end.loads.load,
                      .resource_price = end.prices.resource,
                      .resource_use = end.use,
                      .primal = end.primal,
                      .dual = end.dual,
                      .rows = static_cast<std::size_t>(problem.layers) * problem.tokens,
                      .sweeps = search.sweeps(),
                      .converged = search.converged()};
  for (std::size_t r = 0; r < unit.size(); ++r) {
    result.resource_price[r] /= unit[r];
    result.resource_use[r] *= unit[r];
    result.held.push_back(result.resource_use[r] <= problem.resources[r].cap);
  }
  warm.prices = end.prices;
  scale_prices(warm.prices, unit, search.hardware(), false);
  return result;
}

}  // namespace thermoe
