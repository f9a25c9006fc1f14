// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/targets.h"
#include "core/units.h"
#include "report/paired_interval.h"
#include "report/serving_latency.h"

namespace thermoe {

/// How one target was held.
struct TargetOutcome {
  enum class Kind { kPower, kTemperature, kStepTime, kBetweenTokens, kFirstToken };
  Kind kind = Kind::kPower;
  double target = 0.0;  ///< W, degrees C or ms
  /// Share of time in which the 1 s mean of the true value exceeds 1.05 x target (temperature:
  /// target
  /// + 1 degree), start-up and transients included.
  double violation_fraction = 0.0;
  /// The same share for the target itself, without the 5 % (or the degree). Absent in the files of
  /// older runs.
  std::optional<double> over_target_fraction{};
  /// Time from the start of the first disturbance (of the run, where none comes) until that mean
  /// stays within 5 % (temperature: 1 degree) of the target for 5 s. Absent if it never does before
  /// the disturbance ends.
  std::optional<Seconds> settling{};
  double mean = 0.0;     ///< of the whole run
  double steady = 0.0;   ///< mean of the last quarter
  double highest = 0.0;  ///< of the 1 s mean
  /// Mean over the ticks in which the controller was at its floor, where that was a quarter of the
  /// time or more and the target was broken: the cap is out of reach, and this is the best held.
  std::optional<double> best_held{};
};

/// What files call them, by TargetOutcome::Kind.
inline const std::vector<std::string> kTargetKinds = {
    "power_w", "temperature_c", "step_ms", "time_between_tokens_ms", "time_to_first_token_ms"};

/// A value counts as held from `lower_limit` to `upper_limit`: within 5 % of the target, or within
/// 1 degree of a temperature.
double upper_limit(TargetOutcome::Kind kind, double target);
double lower_limit(TargetOutcome::Kind kind, double target);

/// What an engine under arrivals did in a run.
struct ServingFigures {
  std::optional<double> asked_tokens_per_second{};  ///< by the requests that arrived
  double goodput = 0.0;  ///< tokens a second of requests served in time (`tokens_in_time`)
  std::optional<Latency> to_first_token{}, between_tokens{};
  double batch = 0.0;                        ///< mean sequences of a decode step
  double rows = 0.0;                         ///< mean rows of one: padding included
  double arrived = 0.0, finished = 0.0;      ///< requests
  double waiting = 0.0, most_waiting = 0.0;  ///< requests in the queue at the end of a tick
  double still_waiting = 0.0;                ///< at the end
  Seconds period{};                          ///< mean of the shortest that was decided
  double lambda = 0.0;                       ///< mean price
};

/// What one strategy did in a run.
struct StrategySummary {
  std::string name{};
  double tokens_per_second = 0.0;
  /// Whole GPU, idle and other tenants included; absent where no token came or no energy is known.
  std::optional<double> joules_per_token{};
  Watts mean_power{};
  double energy_share = 1.0;  ///< of the time whose energy is known: the two above are of that
  Celsius max_temperature{};
  std::optional<Seconds> p50_step{}, p99_step{};  ///< absent where no step ended
  double mean_active_experts = 0.0;
  std::optional<double> kept_mass{};      ///< mean share of a token's own top-k probability
  std::optional<double> quality_loss{};   ///< mean of its -log over tokens and layers, nats
  std::optional<double> bits_per_byte{};  ///< absent where no text was decoded
  std::optional<double> baseline_bits_per_byte{};  ///< of the same bytes in the BASELINE pass
  std::optional<Interval> loss_interval{};         ///< 95 %, of `loss_percent`, over pieces of text
  std::optional<double> kl_to_baseline{};          ///< nats a token
  std::optional<double> top1_agreement{};
  std::optional<double> expert_load_cv{};
  double gpu_utilisation = 0.0;
  double memory_utilisation = 0.0;
  std::optional<std::uint64_t> peak_memory_bytes{};  ///< of the process, while this strategy ran
  int fallbacks = 0;                                 ///< times the controller fell back
  double fallback_share = 0.0;                       ///< share of the ticks spent fallen back
  std::vector<std::string> fallback_reasons{};       ///< distinct, in order of appearance
  /// Share of the ticks whose loads lie beyond the machine's profiled table.
  double extrapolated_share = 0.0;
  std::optional<double> wanted_tokens_per_second{};  ///< of a fixed rate
  /// Of a machine in real time: the share of the steps that began more than a tenth of the period
  /// late, and of those that ran what the step before had run, as no newer was decoded in time.
  std::optional<double> late_share{}, repeated_share{};
  /// Likewise: the share of the ticks that found the controller still busy with the one before.
  std::optional<double> late_decision_share{};
  /// Picks in which host and device differed as the kernels' contract allows.
  std::uint64_t near_ties = 0;
  std::optional<ServingFigures> serving{};  ///< where requests arrived
  std::vector<TargetOutcome> targets{};     ///< the targets of the run, power first

  const TargetOutcome* target(TargetOutcome::Kind kind) const;
  /// What strategies that hold a target compete on: bits/byte, or nats where no text was decoded.
  double loss_rank() const { return bits_per_byte.value_or(quality_loss.value_or(0.0)); }
  /// Bits a byte more than BASELINE needs for the same bytes, %; absent without a BASELINE pass.
  std::optional<double> loss_percent() const;
  /// The loss's interval for tables, which have none for BASELINE against itself.
  std::optional<Interval> shown_interval() const;
};

/// A complete run.
struct Summary {
  static constexpr int kSchema = 1;

  std::string device{};
  bool simulated = true;
  std::uint64_t seed = 0;
  std::string costs{};  ///< what the watts stand for: "decisions: ...; costs: ..., simulated"
  std::vector<StrategySummary> strategies{};
};

/// The members of summary.json (schema 1), no others; "serving" only where requests arrive.
nlohmann::json to_json(const Summary& summary);
/// What does not fit that schema: every target's outcome, fallback reasons, paired quality.
nlohmann::json details_json(const Summary& summary);

/// Writes details.json, then summary.json, each whole or not at all (WriteError). A folder with a
/// summary.json holds a complete run; one without holds an interrupted run.
void write_summary(const std::string& folder, const Summary& summary);

/// What "violation" and "above target" count, to stand beside every table that shows them.
std::string_view exceedance_definition();
/// What a loss against BASELINE and its interval are.
std::string_view loss_definition();
/// What kept mass and its loss in nats are.
std::string_view mass_definition();

/// What the figures of an engine under arrivals are.
std::string_view serving_definition();

/// Sentences that a user must not miss: caps out of reach with the best held, a rate that was not
/// served, extrapolated costs, late steps and decisions, unknown energy, fallbacks with reasons.
std::vector<std::string> notes(const Summary& summary);

}  // namespace thermoe
