// SPDX-License-Identifier: Apache-2.0
#include "cost/step_cost_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/errors.h"

namespace thermoe {
namespace {

/// A layer's cost as a function of active experts D and routed picks: constant + a D + s (picks -
/// D).
struct Line {
  double constant = 0.0;
  double activation = 0.0;
  double token_slope = 0.0;

  double at(double active, double picks) const {
    return constant + activation * active + token_slope * std::max(0.0, picks - active);
  }
};

/// Points of one quantity at one batch.
struct Samples {
  std::vector<double> active{};
  std::vector<double> y{};
  double picks = 0.0;
};

using Figure = std::function<double(const OpCost&)>;
double latency_of(const OpCost& c) { return c.latency.value; }
double energy_of(const OpCost& c) { return c.energy->value; }

/// Active counts at which the batch is read: its own rows, or those of the nearest profiled batch.
std::vector<double> active_grid(const CostTable& table, double tokens) {
  std::vector<double> best;
  double least = 0.0;
  for (const double count : table.token_counts()) {
    const auto rows = table.rows_at(count);
    if (rows.size() < 2 && !best.empty()) continue;
    const double distance = std::abs(std::log(count / tokens));
    if (best.size() >= 2 && distance >= least) continue;
    best.clear();
    for (const CostRow& row : rows) best.push_back(*row.active_experts);
    least = distance;
  }
  return best;
}

/// Mean slope per pick between the batch's profiled neighbours (itself and the next larger one
/// where it was profiled), at equal active experts; points that neither batch had to extrapolate
/// come first.
double token_slope(const CostTable& table, double tokens, int top_k, const Figure& figure) {
  const std::vector<double> counts = table.token_counts();
  if (counts.size() < 2) return 0.0;
  const auto above = std::upper_bound(counts.begin(), counts.end(), tokens) - counts.begin();
  const std::size_t high =
      std::clamp<std::size_t>(static_cast<std::size_t>(above), 1, counts.size() - 1);
  const double low_count = counts[high - 1];
  const double high_count = counts[high];
  double inside = 0.0, any = 0.0;
  int inside_points = 0, any_points = 0;
  for (const double count : {low_count, high_count}) {
    for (const CostRow& row : table.rows_at(count)) {
      const OpCost a = table.at(low_count, *row.active_experts);
      const OpCost b = table.at(high_count, *row.active_experts);
      const double slope = (figure(b) - figure(a)) / ((high_count - low_count) * top_k);
      any += slope, ++any_points;
      if (weaker(a.basis, b.basis) != Basis::kExtrapolated) inside += slope, ++inside_points;
    }
  }
  const double mean = inside_points > 0 ? inside / inside_points : any / any_points;
  return std::max(0.0, mean);
}

/// Least squares of y = constant + activation * D, both >= 0; `held` fixes the constant.
Line fit_line(const Samples& samples, double slope, std::optional<double> held) {
  const auto n = static_cast<double>(samples.y.size());
  double sx = 0.0, sy = 0.0, sxx = 0.0, sxy = 0.0;
  for (std::size_t i = 0; i < samples.y.size(); ++i) {
    const double x = samples.active[i];
    const double y = samples.y[i] - slope * std::max(0.0, samples.picks - x);
    sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  const auto through = [&](double constant) { return std::max(0.0, (sxy - constant * sx) / sxx); };
  if (held) return {*held, through(*held), slope};
  const double spread = n * sxx - sx * sx;
  // One point, or none apart: all of it is activation.
  if (spread <= 1e-12 * n * sxx) return {0.0, through(0.0), slope};
  const double activation = (n * sxy - sx * sy) / spread;
  const double constant = (sy - activation * sx) / n;
  if (constant < 0.0) return {0.0, through(0.0), slope};
  if (activation < 0.0) return {std::max(0.0, sy / n), 0.0, slope};
  return {constant, activation, slope};
}

struct Residual {
  double rms = 0.0;
  double max = 0.0;
};

Residual residual(const Line& line, const Samples& samples) {
  Residual r;
  for (std::size_t i = 0; i < samples.y.size(); ++i) {
    if (samples.y[i] <= 0.0) continue;
    const double error = std::abs(line.at(samples.active[i], samples.picks) / samples.y[i] - 1.0);
    r.rms += error * error / static_cast<double>(samples.y.size());
    r.max = std::max(r.max, error);
  }
  r.rms = std::sqrt(r.rms);
  return r;
}

/// Kelvin per joule of the table's rows; 0 where any lacks heat.
double heat_per_joule(const CostTable& table) {
  double heat = 0.0, energy = 0.0;
  for (const CostRow& row : table.rows()) {
    if (!row.heat || !row.energy) return 0.0;
    heat += row.heat->value, energy += row.energy->value;
  }
  return energy > 0.0 ? heat / energy : 0.0;
}

CostCurve curve_of(const Line& latency, const Line& energy, double heat, int tokens) {
  const auto point = [&](double n) {
    const double t = latency.activation + latency.token_slope * (n - 1.0);
    const double e = energy.activation + energy.token_slope * (n - 1.0);
    return CostCurve::Point{.tokens = n, .cost = {Seconds(t), Joules(e), Celsius(heat * e)}};
  };
  return CostCurve({point(1.0), point(std::max(2, tokens))});
}

}  // namespace

StepCostFit fit_step_cost(const std::vector<const CostTable*>& tables, int tokens, int top_k,
                          double layer_repeat, Watts active_idle) {
  THERMOE_EXPECT(!tables.empty() && tokens >= 1 && top_k >= 1,
                 "step cost: {} tables, tokens={}, top_k={} must all be at least 1", tables.size(),
                 tokens, top_k);
  StepCostFit fit{.step = {.layer_repeat = layer_repeat, .active_idle = active_idle}};
  std::optional<double> held_latency, held_energy;
  for (const CostTable* table : tables) {
    THERMOE_EXPECT(table->by_active_experts() && table->has_energy(),
                   "{}: step costs need energies by active experts", to_string(table->key()));
    const std::vector<double> grid = active_grid(*table, tokens);
    Samples latency{.active = grid, .picks = static_cast<double>(tokens) * top_k};
    Samples energy = latency;
    FitReport report{.dtype = table->key().dtype, .rows = static_cast<int>(grid.size())};
    for (const double active : grid) {
      const OpCost cost = table->at(tokens, active);
      latency.y.push_back(latency_of(cost));
      energy.y.push_back(energy_of(cost));
      report.basis = weaker(report.basis, cost.basis);
    }
    const Line t = fit_line(latency, token_slope(*table, tokens, top_k, latency_of), held_latency);
    const Line e = fit_line(energy, token_slope(*table, tokens, top_k, energy_of), held_energy);
    const double heat = heat_per_joule(*table);
    if (!held_latency) {
      held_latency = t.constant, held_energy = e.constant;
      fit.step.layer_constant = {Seconds(t.constant), Joules(e.constant),
                                 Celsius(heat * e.constant)};
    }
    fit.step.variants.push_back(curve_of(t, e, heat, tokens));
    const Residual rt = residual(t, latency), re = residual(e, energy);
    report.latency_rms = rt.rms, report.latency_max = rt.max;
    report.energy_rms = re.rms, report.energy_max = re.max;
    fit.reports.push_back(report);
  }
  return fit;
}

}  // namespace thermoe
