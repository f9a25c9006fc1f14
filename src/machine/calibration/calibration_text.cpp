// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/wrapped_text.h"
#include "machine/calibration/cost_calibration.h"

namespace thermoe {
namespace {

std::string paragraph(const std::string& text) {
  constexpr std::size_t kWidth = 92;
  constexpr std::size_t kIndent = 2;
  return "  " + wrapped(text, kWidth, kIndent, kIndent) + "\n";
}

std::string rows_text(const CostCalibration& c) {
  std::string text = "  weights  experts    us a layer      mJ a layer  W at this rate\n";
  const double layers = c.costs.header().models.front().layers;
  for (const CalibratedStep& step : c.fit.steps) {
    const CostTable& table = c.costs.tables()[static_cast<std::size_t>(step.variant)];
    text += fmt::format("  {:<7}  {:>7.4g}  {:>7.1f} ±{:>2.0f}%  {:>9.2f} ±{:>2.0f}%  {:>14.1f}\n",
                        table.key().dtype, step.active, 1e6 * step.latency.value / layers,
                        1e2 * step.spread, 1e3 * step.energy.value / layers,
                        1e2 * step.energy_spread, step.power.value);
  }
  return text;
}

/// The straight lines that a controller's prices are made of.
std::string line_text(const CostCalibration& c) {
  std::string text;
  const ExpertShape& shape = c.costs.header().models.front();
  for (const CostTable& table : c.costs.tables()) {
    const int tokens = static_cast<int>(table.rows().front().tokens);
    const StepCostFit fit = c.costs.fit_step_cost(shape, {table.key().dtype}, tokens, 1.0);
    const Cost constant = fit.step.layer_constant;
    const Cost each = fit.step.variants.front().activation();
    const FitReport& report = fit.reports.front();
    text += paragraph(fmt::format(
        "A controller prices {} at {:.1f} us + {:.2f} us an expert and {:.2f} mJ + {:.2f} mJ an "
        "expert, at most {:.1f} % and {:.1f} % from these rows.",
        table.key().dtype, 1e6 * constant.latency.value, 1e6 * each.latency.value,
        1e3 * constant.energy.value, 1e3 * each.energy.value, 1e2 * report.latency_max,
        1e2 * report.energy_max));
  }
  return text;
}

std::string lag_text(const CostCalibration& c) {
  if (!c.lag) {
    return paragraph("The power sensor did not follow the work: its usual lag is assumed.");
  }
  return paragraph(fmt::format(
      "The power sensor shows work {:.0f} ms later, as a mean over {:.0f} ms (fit to {:.0f} % of "
      "an edge).",
      1e3 * c.lag->lag.delay.value, 1e3 * c.lag->lag.window.value, 1e2 * c.lag->residual));
}

}  // namespace

std::string to_text(const CostCalibration& c) {
  const CostModelHeader& header = c.costs.header();
  const std::string rate = c.step_period > Seconds(0)
                               ? fmt::format("a step each {:.4g} ms", 1e3 * c.step_period.value)
                               : "steps back to back";
  std::string text = fmt::format("Calibrated in {:.0f} s: {} on {}, {:.0f} tokens, {}\n",
                                 c.taken.value, header.models.front().name, header.device,
                                 c.costs.tables().front().rows().front().tokens, rate);
  text += rows_text(c);
  text += paragraph(fmt::format(
      "Joules are above {:.1f} W with clocks up ({:.1f} W at rest); the windows' power is {:.1f} W "
      "rms from what these rows give, {:.1f} W at most.",
      c.fit.idle_active.value, c.fit.idle_cold.value, c.fit.residual_rms.value,
      c.fit.residual_max.value));
  text += line_text(c);
  text += lag_text(c);
  text += paragraph(
      fmt::format("How it heats, and what heat and the power limit change, was not measured: as in "
                  "{}.",
                  c.base));
  return text;
}

}  // namespace thermoe
