// SPDX-License-Identifier: Apache-2.0
#include "report/summary_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/wrapped_text.h"

namespace thermoe {
namespace {

using Line = std::vector<std::string>;

std::string or_dash(const std::optional<double>& value, fmt::format_string<double&> format) {
  if (!value) return "-";
  double shown = *value;
  return fmt::format(format, shown);
}

Line machine_cells(const StrategySummary& s) {
  const TargetOutcome* target = s.targets.empty() ? nullptr : &s.targets.front();
  std::optional<double> violation, above, settling;
  if (target != nullptr) {
    violation = 100 * target->violation_fraction;
    if (target->over_target_fraction) above = 100 * *target->over_target_fraction;
    if (target->settling) settling = target->settling->value;
  }
  return {s.name,
          fmt::format("{:.0f}", s.tokens_per_second),
          or_dash(s.joules_per_token, "{:.3f}"),
          s.energy_share > 0 ? fmt::format("{:.1f}", s.mean_power.value) : "-",
          or_dash(violation, "{:.1f} %"),
          or_dash(above, "{:.1f} %"),
          or_dash(settling, "{:.1f}"),
          fmt::format("{:.1f}", s.max_temperature.value),
          s.p50_step && s.p99_step
              ? fmt::format("{:.2f}/{:.2f}", 1e3 * s.p50_step->value, 1e3 * s.p99_step->value)
              : "-"};
}

/// No strategy decoded text: kept mass and nats take the place of bits.
bool without_text(const Summary& summary) {
  return std::none_of(summary.strategies.begin(), summary.strategies.end(),
                      [](const auto& s) { return s.bits_per_byte; });
}

Line mass_cells(const StrategySummary& s) {
  std::optional<double> percent;
  if (s.kept_mass) percent = 100 * *s.kept_mass;
  return {s.name, fmt::format("{:.1f}", s.mean_active_experts), or_dash(percent, "{:.2f} %"),
          or_dash(s.quality_loss, "{:.4f}")};
}

std::string between(const std::optional<Latency>& l) {
  return l ? fmt::format("{:.1f}/{:.1f}", 1e3 * l->mean.value, 1e3 * l->p99.value) : "-";
}
std::string first(const std::optional<Latency>& l) {
  return l ? fmt::format("{:.0f}/{:.0f}", 1e3 * l->p50.value, 1e3 * l->p99.value) : "-";
}

/// The share of time over the limit of a latency target, where there is one.
std::optional<double> over_percent(const StrategySummary& s, TargetOutcome::Kind kind) {
  const TargetOutcome* target = s.target(kind);
  return target != nullptr ? std::optional(100 * target->violation_fraction) : std::nullopt;
}

Line serving_cells(const StrategySummary& s) {
  const ServingFigures serving = s.serving.value_or(ServingFigures{});
  return {s.name,
          fmt::format("{:.0f}", serving.goodput),
          between(serving.between_tokens),
          or_dash(over_percent(s, TargetOutcome::Kind::kBetweenTokens), "{:.1f} %"),
          first(serving.to_first_token),
          or_dash(over_percent(s, TargetOutcome::Kind::kFirstToken), "{:.1f} %"),
          fmt::format("{:.1f}", serving.batch),
          fmt::format("{:.1f}/{:.0f}", serving.waiting, serving.most_waiting),
          fmt::format("{:.1f}", 1e3 * serving.period.value),
          fmt::format("{:.4f}", serving.lambda)};
}

Line quality_cells(const StrategySummary& s) {
  const auto interval = s.shown_interval();
  return {s.name,
          fmt::format("{:.1f}", s.mean_active_experts),
          or_dash(s.bits_per_byte, "{:.4f}"),
          or_dash(s.loss_percent(), "{:+.2f} %"),
          interval ? fmt::format("{:+.2f}..{:+.2f} %", interval->low, interval->high) : "-",
          or_dash(s.kl_to_baseline, "{:.4f}")};
}

std::string aligned(const std::vector<Line>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string out;
  for (std::size_t n = 0; n < lines.size(); ++n) {
    out += fmt::format("{:<{}}", lines[n][0], widths[0]);
    for (std::size_t i = 1; i < lines[n].size(); ++i) {
      out += fmt::format("  {:>{}}", lines[n][i], widths[i]);
    }
    out += '\n';
    if (n == 0) {  // rule under the header
      std::size_t width = widths[0];
      for (std::size_t i = 1; i < widths.size(); ++i) width += 2 + widths[i];
      out += std::string(width, '-') + '\n';
    }
  }
  return out;
}

std::string target_line(const Summary& summary) {
  std::vector<std::string> parts;
  if (!summary.strategies.empty()) {
    for (const TargetOutcome& t : summary.strategies.front().targets) {
      switch (t.kind) {
        case TargetOutcome::Kind::kPower:
          parts.push_back(fmt::format("power {:.4g} W", t.target));
          break;
        case TargetOutcome::Kind::kTemperature:
          parts.push_back(fmt::format("temperature {:.4g} C", t.target));
          break;
        case TargetOutcome::Kind::kStepTime:
          parts.push_back(fmt::format("step time {:.4g} ms", t.target));
          break;
        case TargetOutcome::Kind::kBetweenTokens:
          parts.push_back(fmt::format("time between tokens {:.4g} ms", t.target));
          break;
        case TargetOutcome::Kind::kFirstToken:
          parts.push_back(fmt::format("time to first token {:.4g} ms", t.target));
          break;
      }
    }
  }
  if (parts.empty()) return "No target.";
  return fmt::format(
      "Target: {}. Violation, time above target and settling are those of the first.",
      fmt::join(parts, ", "));
}

}  // namespace

std::string summary_table(const Summary& summary) {
  constexpr std::size_t kWidth = 100;
  std::vector<Line> machine = {{summary.simulated ? "GPU (simulated)" : "GPU", "tokens/s",
                                "J/token", "mean W", "violation", "above target", "settling s",
                                "max C", "step p50/p99 ms"}};
  std::vector<Line> quality = {{"quality", "active experts", "bits/byte", "against BASELINE",
                                "95 % interval", "KL to BASELINE"}};
  const bool mass = without_text(summary);
  if (mass) quality = {{"quality", "active experts", "kept mass", "loss, nats"}};
  const bool serves = !summary.strategies.empty() && summary.strategies.front().serving.has_value();
  std::vector<Line> serving = {{"serving", "goodput", "between mean/p99 ms", "over",
                                "first p50/p99 ms", "over", "batch", "waiting mean/max",
                                "period ms", "price"}};
  for (const StrategySummary& s : summary.strategies) {
    if (serves) serving.push_back(serving_cells(s));
    machine.push_back(machine_cells(s));
    quality.push_back(mass ? mass_cells(s) : quality_cells(s));
  }
  std::string out = aligned(machine) + '\n';
  if (serves) out += aligned(serving) + '\n';
  out += aligned(quality) + '\n';
  const auto add = [&](std::string_view sentence) {
    out += wrapped(fmt::format("{}.", sentence), kWidth, 2, 0) + '\n';
  };
  out += target_line(summary) + '\n';
  const auto& all = summary.strategies;
  if (!all.empty() && !all.front().targets.empty()) add(exceedance_definition());
  if (std::any_of(all.begin(), all.end(), [](const auto& s) { return s.loss_percent(); })) {
    add(loss_definition());
  }
  if (serves) {
    const auto& asked = all.front().serving->asked_tokens_per_second;
    add(fmt::format("{}{}",
                    asked ? fmt::format("The requests asked for {:.0f} tokens/s. ", *asked) : "",
                    serving_definition()));
  }
  if (mass) add(mass_definition());
  for (const std::string& note : notes(summary)) add("Note: " + note);
  out += fmt::format("Machine: {}; seed {}.\n", summary.device, summary.seed);
  if (!summary.costs.empty()) add(summary.costs);
  return out;
}

}  // namespace thermoe
