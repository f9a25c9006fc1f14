// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/terminal_text.h"
#include "core/turn_name.h"
#include "monitor/gauges.h"
#include "monitor/panels.h"
#include "monitor/reading_words.h"

namespace thermoe {
namespace {

constexpr int kIndent = 2;

Item known(const std::string& label, const std::optional<double>& number, const char* pattern,
           double scale = 1.0) {
  return {{label + " ", Style::kDim},
          {number ? fmt::format(fmt::runtime(pattern), scale * *number) : "–"}};
}

std::optional<double> plain(const std::optional<Watts>& power) {
  return power ? std::optional(power->value) : std::nullopt;
}

Span state(const RunView& run) {
  switch (run.state) {
    case RunView::State::kWaiting:
      return {"waiting for " + run.waiting_for, Style::kWarning};
    case RunView::State::kFinished:
      return {"finished", Style::kGood};
    case RunView::State::kRunning:
      break;
  }
  if (run.quiet_for) {
    return {fmt::format("no new row for {} (paused or interrupted?)", seconds(*run.quiet_for)),
            Style::kWarning};
  }
  return {"running", Style::kGood};
}

Item strategy(const RunView& run) {
  Item item = {{run.strategy, Style::kBold}};
  if (run.strategy_number > 0) {
    item.push_back({fmt::format(" {} of {}", run.strategy_number, run.strategies), Style::kDim});
  }
  if (run.rounds > 1) {
    item.push_back(
        {fmt::format(" round {} of {}", turn_named(run.strategy).round, run.rounds), Style::kDim});
  }
  return item;
}

/// Of the method's initials, where there is room: this may be where somebody meets them first.
Item meaning(const RunView& run, Detail detail) {
  if (!shows_trends(detail) || !turn_named(run.strategy).strategy.ends_with("TTHA")) return {};
  return {{"TTHA: test-time hardware-efficiency adaptation", Style::kDim}};
}

Item progress(const RunView& run, const Terminal& terminal) {
  if (!run.duration || *run.duration <= Seconds(0)) return {{fmt::format("{}", seconds(run.at))}};
  const std::string words = fmt::format(" {:.1f} of {:.0f} s", run.at.value, run.duration->value);
  const int width = std::clamp(terminal.columns - kIndent - 30 - display_width(words), 10, 40);
  return {{bar(run.at / *run.duration, width, terminal.unicode), Style::kTrend}, {words}};
}

void add_targets(Page& page, const RunView& run) {
  std::vector<Item> items;
  if (run.power_target) {
    items.push_back(known("power cap", plain(run.power_target), "{:.0f} W"));
    Item sensor = known("sensor", plain(run.power_sensor), "{:.1f} W");
    if (run.violation) sensor.back().style = Style::kBad;
    items.push_back(std::move(sensor));
    items.push_back(known("predicted", plain(run.power_predicted), "{:.1f} W"));
  }
  if (run.temperature_target) {
    items.push_back({{"temperature target ", Style::kDim}, {degrees(*run.temperature_target)}});
  }
  if (run.step_target) {
    items.push_back(known("step target", run.step_target->value, "{:.1f} ms", 1e3));
    if (run.step_time) items.push_back(known("step", run.step_time->value, "{:.1f} ms", 1e3));
  }
  if (run.violation) items.push_back({{"over target", Style::kBad}});
  page.flow(std::move(items), kIndent);
}

void add_control(Page& page, const RunView& run) {
  std::vector<Item> items = {known("λ", run.lambda, "{:.4f}"),
                             known("active experts", run.active_experts, "{:.1f}"),
                             known("kept mass", run.kept_mass, "{:.1f} %", 100.0),
                             known("bits/byte", run.bits_per_byte, "{:.2f}")};
  if (run.at_floor) items.push_back({{"at its floor: target out of reach", Style::kBad}});
  page.flow(std::move(items), kIndent);
  if (!run.fallback.empty()) {
    page.paragraph("fell back to " + run.fallback, Style::kBad, kIndent);
  }
}

}  // namespace

void add_run(Page& page, const RunView& run, Detail detail) {
  page.flow({{{"run", Style::kBold}},
             {{run.experiment.empty() ? run.folder : run.experiment}},
             {state(run)},
             {run.simulated ? Span{"simulated, virtual time", Style::kWarning} : Span{}}});
  if (run.strategy.empty()) return;
  page.flow({strategy(run), progress(run, page.terminal()), meaning(run, detail)}, kIndent);
  add_targets(page, run);
  add_control(page, run);
  if (!shows_trends(detail)) return;
  add_trends(
      page, {.label = "λ", .series = run.lambda_series, .now = run.at, .unit = "", .decimals = 3},
      {.label = "active", .series = run.active_series, .now = run.at, .least_span = 4.0}, detail);
}

}  // namespace thermoe
