// SPDX-License-Identifier: Apache-2.0
#include "report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "core/turn_name.h"

namespace thermoe {
namespace {

using Kind = TargetOutcome::Kind;
using Strategies = std::vector<const StrategySummary*>;

constexpr std::size_t kMostNamed = 4;  // of the turns that an interrupted run did not reach

std::string with_unit(Kind kind, double value, int digits) {
  switch (kind) {
    case Kind::kPower:
      return fmt::format("{:.{}f} W", value, digits);
    case Kind::kTemperature:
      return fmt::format("{:.{}f} °C", value, digits);
    case Kind::kStepTime:
      return fmt::format("{:.{}f} ms a step", value, digits == 0 ? 1 : 2);
    case Kind::kBetweenTokens:
      return fmt::format("{:.{}f} ms between tokens", value, digits);
    case Kind::kFirstToken:
      return fmt::format("{:.0f} ms to the first token", value);
  }
  return "";
}

std::string cap(const TargetOutcome& target) {
  const bool whole = target.target == std::floor(target.target);
  return with_unit(target.kind, target.target, whole ? 0 : 1);
}

/// The share of time over the limit; never rounded to "0.0 %" or "100 %" where it is not.
std::string share(double fraction) {
  if (fraction <= 0) return "never";
  if (fraction >= 1) return "all the time";
  if (fraction < 0.0005) return "less than 0.05 % of the time";
  return fmt::format("{:.1f} % of the time", std::min(100 * fraction, 99.9));
}

double worst(const StrategySummary& s) {
  double most = 0.0;
  for (const TargetOutcome& target : s.targets) most = std::max(most, target.violation_fraction);
  return most;
}

std::string loss(const StrategySummary& s) {
  const auto percent = s.loss_percent();
  if (percent) return fmt::format("{:+.2f} % bits/byte", *percent);
  if (s.bits_per_byte) return fmt::format("{:.4f} bits/byte", *s.bits_per_byte);
  return fmt::format("a loss of {:.4f} nats", s.quality_loss.value_or(0.0));
}

std::string caps(const StrategySummary& s) {
  std::vector<std::string> parts;
  for (const TargetOutcome& target : s.targets) parts.push_back(cap(target));
  return fmt::format("{}", fmt::join(parts, " and "));
}

std::string how_held(const StrategySummary& s) {
  std::vector<std::string> parts;
  for (const TargetOutcome& target : s.targets) {
    parts.push_back(fmt::format("mean {}, {} over the limit",
                                with_unit(target.kind, target.mean, 1),
                                share(target.violation_fraction)));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string list(const std::vector<std::string>& parts) {
  if (parts.size() < 2) return parts.empty() ? "" : parts.front();
  return fmt::format("{} and {}", fmt::join(parts.begin(), parts.end() - 1, ", "), parts.back());
}

/// "; BASELINE broke it all the time", in the order of the run.
std::string broken(const Strategies& strategies) {
  std::vector<std::string> parts;
  for (const StrategySummary* s : strategies) {
    parts.push_back(
        fmt::format("{}{} {}", s->name, parts.empty() ? " exceeded it" : "", share(worst(*s))));
  }
  return parts.empty() ? "" : "; " + list(parts);
}

std::string machine(const RunData& run) {
  if (!run.summary.device.empty()) return fmt::format("On the {}, ", run.summary.device);
  return run.summary.simulated ? "On the simulated GPU, " : "";
}

/// A sentence after "On the ..., ", or standing alone.
std::string sentence(const RunData& run, std::string text) {
  const std::string where = machine(run);
  if (where.empty() && !text.empty()) {
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  }
  return where + text + ".";
}

std::string of_held(const RunData& run, Strategies kept, const Strategies& failed) {
  // Least loss of quality first: that is what the strategies compete on once the cap is held.
  std::stable_sort(kept.begin(), kept.end(),
                   [](const auto* a, const auto* b) { return a->loss_rank() < b->loss_rank(); });
  const StrategySummary& best = *kept.front();
  std::string text =
      fmt::format("{} held {} ({}), at {}", best.name, caps(best), how_held(best), loss(best));
  std::vector<std::string> others;
  for (auto s = kept.begin() + 1; s != kept.end(); ++s) {
    others.push_back(fmt::format("{} at {}", (*s)->name, loss(**s)));
  }
  if (!others.empty()) text += fmt::format("; so did {}", list(others));
  return sentence(run, text + broken(failed));
}

std::string of_none_held(const RunData& run, Strategies failed) {
  const auto nearest =
      std::min_element(failed.begin(), failed.end(),
                       [](const auto* a, const auto* b) { return worst(*a) < worst(*b); });
  const StrategySummary& best = **nearest;
  std::string text = failed.size() == 1
                         ? fmt::format("{} did not hold {} ({}), at {}", best.name, caps(best),
                                       how_held(best), loss(best))
                         : fmt::format("no strategy held {}: {} came nearest ({}), at {}",
                                       caps(best), best.name, how_held(best), loss(best));
  for (const TargetOutcome& target : best.targets) {
    if (!target.best_held) continue;
    text += fmt::format("; {} cannot reach {}, the best held was {}",
                        best.serving ? "it" : "routing alone", cap(target),
                        with_unit(target.kind, *target.best_held, 1));
  }
  failed.erase(nearest);
  return sentence(run, text + broken(failed));
}

std::string without_target(const RunData& run) {
  const auto& strategies = run.summary.strategies;
  const auto joules = [](const StrategySummary& s) {
    return s.joules_per_token.value_or(std::numeric_limits<double>::infinity());
  };
  const auto cheapest = std::ranges::min_element(strategies, {}, joules);
  if (std::isinf(joules(*cheapest))) {
    const bool known =
        std::ranges::any_of(strategies, [](const auto& s) { return s.energy_share > 0; });
    return sentence(run, known ? "no target was set, and no token was generated"
                               : "no target was set, and the energy is not known");
  }
  std::string text =
      fmt::format("no target was set; {} used the least energy, {:.3f} J/token, at {}",
                  cheapest->name, *cheapest->joules_per_token, loss(*cheapest));
  // A machine may drift from round to round.
  const auto beside =
      std::ranges::find(strategies,
                        to_string(TurnName{.strategy = strategies.front().name,
                                           .round = turn_named(cheapest->name).round}),
                        &StrategySummary::name);
  if (beside != strategies.end() && beside != cheapest && beside->joules_per_token) {
    text += fmt::format(" ({:+.1f} % energy against {})",
                        100 * (*cheapest->joules_per_token / *beside->joules_per_token - 1),
                        beside->name);
  }
  return sentence(run, text);
}

std::string of_interrupted(const RunData& run) {
  if (!run.ticks) return "The run was interrupted.";
  const StrategyTicks& last = run.ticks->strategies.back();
  const double reached = last[Metric::kTime].back();
  std::string text = fmt::format("The run was interrupted {:.1f} s", reached);
  if (run.planned_seconds) text += fmt::format(" of {:g} s", *run.planned_seconds);
  text += fmt::format(" into {}", last.name);
  std::vector<std::string> missing;
  for (const std::string& name : run.planned) {
    const auto& strategies = run.ticks->strategies;
    if (std::none_of(strategies.begin(), strategies.end(),
                     [&](const StrategyTicks& s) { return s.name == name; })) {
      missing.push_back(name);
    }
  }
  if (missing.size() > kMostNamed) {
    text += fmt::format(", before {} more of its {} turns", missing.size(), run.planned.size());
  } else if (!missing.empty()) {
    text += fmt::format(", before {}", list(missing));
  }
  return text + fmt::format(": this is what it measured until then{}, and no verdict.",
                            run.summary.simulated ? " (simulated)" : "");
}

}  // namespace

bool held(const StrategySummary& strategy) { return worst(strategy) <= kHeldShare; }

std::string verdict(const RunData& run) {
  if (run.interrupted) return of_interrupted(run);
  if (run.summary.strategies.empty()) return "The run holds no strategy.";
  if (run.summary.strategies.front().targets.empty()) return without_target(run);
  if (std::ranges::none_of(run.summary.strategies,
                           [](const auto& s) { return s.tokens_per_second > 0.0; })) {
    return sentence(run, "no token was generated: there is nothing to judge");
  }
  Strategies kept, failed;
  for (const StrategySummary& s : run.summary.strategies) {
    (held(s) ? kept : failed).push_back(&s);
  }
  return kept.empty() ? of_none_held(run, failed) : of_held(run, kept, failed);
}

}  // namespace thermoe
