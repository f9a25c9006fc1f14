// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "run/run_replay.h"

namespace thermoe {
namespace {

std::string cell(const std::optional<double>& value, fmt::format_string<double&> format) {
  if (!value) return "-";
  double shown = *value;
  return fmt::format(format, shown);
}

template <class Tag>
std::optional<double> times(const std::optional<Quantity<Tag>>& quantity, double factor) {
  return quantity ? std::optional(factor * quantity->value) : std::nullopt;
}

std::optional<double> times(const std::optional<double>& number, double factor) {
  return number ? std::optional(factor * *number) : std::nullopt;
}

void add_line(const std::string& name, const char* tenant, const ReplayFigures& f, int width,
              std::string& text) {
  if (f.time == Seconds(0)) return;
  fmt::format_to(
      std::back_inserter(text),
      "{:<{}} {:<7} {:>6.0f} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8} {:>6} {:>6}\n", name, width,
      tenant, f.time.value, cell(times(f.measured, 1.0), "{:.1f}"),
      cell(times(f.predicted, 1.0), "{:.1f}"), cell(times(f.power_error(), 100.0), "{:+.1f} %"),
      cell(times(f.measured_step, 1e3), "{:.2f}"), cell(times(f.predicted_step, 1e3), "{:.2f}"),
      cell(times(f.step_error(), 100.0), "{:+.1f} %"), cell(f.temperature_rms, "{:.2f}"),
      cell(f.temperature_max, "{:.1f}"));
}

/// All of a turn or run and, where it had a tenant for a part of it, both parts.
void add_lines(const ReplayTurn& turn, int width, std::string& text) {
  const bool beside = turn.beside_tenant.time > Seconds(0);
  const bool split = turn.alone.time > Seconds(0) && beside;
  if (split) {
    add_line(turn.name, "no", turn.alone, width, text);
    add_line(turn.name, "yes", turn.beside_tenant, width, text);
  }
  add_line(turn.name, split ? "in all" : beside ? "yes" : "no", turn.all, width, text);
}

std::string heat_words(const ReplayHeat& heat, bool simulated) {
  std::string text =
      heat.fitted_rms
          ? fmt::format("fitted to {} ({:.2f} C rms there)", heat.source, *heat.fitted_rms)
          : fmt::format("of {}{}", heat.source, simulated ? "" : ", perhaps another card's");
  fmt::format_to(std::back_inserter(text), ": ambient {:.1f} C", heat.parameters.ambient.value);
  for (const ThermalPole& pole : heat.parameters.poles) {
    fmt::format_to(std::back_inserter(text), ", {:.4f} K/W in {:g} s", pole.resistance.value,
                   pole.time_constant.value);
  }
  return text;
}

nlohmann::json figures_json(const ReplayFigures& f) {
  const auto number = [](const std::optional<double>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json();
  };
  return {{"seconds", f.time.value},
          {"measured_power_w", number(times(f.measured, 1.0))},
          {"predicted_power_w", number(times(f.predicted, 1.0))},
          {"power_error_percent", number(times(f.power_error(), 100.0))},
          {"measured_step_ms", number(times(f.measured_step, 1e3))},
          {"predicted_step_ms", number(times(f.predicted_step, 1e3))},
          {"step_error_percent", number(times(f.step_error(), 100.0))},
          {"temperature_rms_c", number(f.temperature_rms)},
          {"temperature_max_c", number(f.temperature_max)}};
}

nlohmann::json turn_json(const ReplayTurn& turn) {
  nlohmann::json json = figures_json(turn.all);
  json["without_tenant"] = figures_json(turn.alone);
  json["beside_tenant"] = figures_json(turn.beside_tenant);
  return json;
}

nlohmann::json heat_json(const ReplayHeat& heat) {
  nlohmann::json poles = nlohmann::json::array();
  for (const ThermalPole& pole : heat.parameters.poles) {
    poles.push_back({{"r_k_per_w", pole.resistance.value}, {"tau_s", pole.time_constant.value}});
  }
  return {{"source", heat.source},
          {"fitted_rms_c", heat.fitted_rms ? nlohmann::json(*heat.fitted_rms) : nlohmann::json()},
          {"ambient_c", heat.parameters.ambient.value},
          {"poles", std::move(poles)}};
}

}  // namespace

std::string replay_text(const RunReplay& r) {
  std::size_t longest = 5;
  for (const ReplayTurn& turn : r.turns) longest = std::max(longest, turn.name.size());
  const int width = static_cast<int>(longest);
  std::string text = fmt::format(
      "{}, {} {}, run again on the simulated GPU\n"
      "costs  {} ({}, {}), {}, {}; idle {:.1f} W\n"
      "heat   {}\n\n",
      r.folder, r.simulated ? "of" : "measured on", r.device, r.costs, r.cost_source, r.cost_device,
      r.coverage, to_string(r.basis), r.idle.value, heat_words(r.heat, r.simulated));
  fmt::format_to(std::back_inserter(text),
                 "{:<{}} {:<7} {:>6} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8} {:>6} {:>6}\n", "turn",
                 width, "tenant", "s", r.simulated ? "run's W" : "meas. W", "pred. W", "error",
                 r.simulated ? "run's ms" : "meas. ms", "pred. ms", "error", "C rms", "max");
  for (const ReplayTurn& turn : r.turns) add_lines(turn, width, text);
  add_lines(r.whole, width, text);
  return text +
         "\nPredicted (simulated) from each layer's active experts, the rate of steps and the "
         "tenant as recorded, each turn\nfrom its first recorded temperature; watts, step times "
         "and further degrees of the record are only compared with.\n";
}

nlohmann::json replay_json(const RunReplay& r) {
  nlohmann::json turns = nlohmann::json::array();
  for (const ReplayTurn& turn : r.turns) {
    nlohmann::json json = turn_json(turn);
    json["name"] = turn.name;
    turns.push_back(std::move(json));
  }
  return {{"run", r.folder},
          {"device", r.device},
          {"simulated", r.simulated},
          {"costs",
           {{"file", r.costs},
            {"device", r.cost_device},
            {"source", r.cost_source},
            {"covers", r.coverage},
            {"basis", to_string(r.basis)},
            {"idle_active_w", r.idle.value}}},
          {"heat", heat_json(r.heat)},
          {"turns", std::move(turns)},
          {"whole", turn_json(r.whole)}};
}

}  // namespace thermoe
