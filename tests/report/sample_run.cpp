// SPDX-License-Identifier: Apache-2.0
#include "sample_run.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/turn_name.h"
#include "report/metrics_logger.h"
#include "report/strategy_recorder.h"

namespace thermoe {
namespace {

constexpr int kLayers = 3;
constexpr int kExperts = 16;
constexpr Seconds kTick{0.1};
constexpr const char* kHostile = "</script><script>document.title='broken'</script>\"'&<b>{{data}}";

struct Made {
  std::string strategy{};
  double power = 0.0;  ///< W, before the disturbance
  bool adapts = false;
};

RoutingStats counts(int tick, bool narrow) {
  RoutingStats stats{.layers = kLayers, .experts = kExperts, .tokens = 16};
  for (int l = 0; l < kLayers; ++l) {
    for (int e = 0; e < kExperts; ++e) {
      const bool idle = (narrow && e % 2 == 1) || e == tick % 40;
      stats.counts.push_back(idle ? 0 : 1 + (e * 7 + l * 3 + tick / 20) % 11);
    }
  }
  return stats;
}

/// Its power is not known before the counter has changed.
void make_real(MetricsRow& row, int tick) {
  row.simulated = false;
  if (tick < 10) row.truth.energy = std::nullopt;
  if (tick < 10) row.truth.mean_power = std::nullopt;
  row.late_steps = tick == 20 ? 1 : 0;
  row.repeated_steps = 0;
}

/// A request a second, whose prompts make every tenth tick's gaps long; idle in its first tick.
void make_serving(MetricsRow& row, int tick, bool paced) {
  const double step = (paced ? 16.0 : 11.0) + (tick % 10 == 0 ? 3.0 : 0.0);
  row.period = Seconds(paced ? 0.016 : 0.0);
  row.routed = tick > 0;
  ServingTick serving{.running = 14, .waiting = tick % 7};
  if (tick == 0) serving.running = serving.waiting = 0;
  if (row.routed) {
    serving.batch = paced ? 14.0 : 9.0;
    serving.rows = 16.0;
    serving.tokens = row.step.tokens;
    serving.between_tokens = {{Seconds(1e-3 * step), row.step.tokens}};
  }
  if (tick % 10 == 5) {
    serving.arrived = serving.finished = 1;
    serving.to_first_token = {Seconds(1e-3 * (30.0 + tick % 70))};
    serving.requests = {
        {.to_first_token = Seconds(0.04), .between_tokens = Seconds(1e-3 * step), .tokens = 256}};
  }
  row.step.serving = std::move(serving);
  if (paced) {
    row.control.pacing =
        ControllerState::Pacing{.step_period = *row.period, .period_limit = PeriodLimit::kLatency};
  }
}

void run_strategy(const Made& made, const SampleRun& sample, MetricsLogger& logger,
                  StrategyRecorder& recorder, const Targets& targets) {
  RoutingPlan plan(kLayers, kExperts, 8);
  for (int tick = 0; tick < sample.ticks; ++tick) {
    if (sample.real && made.adapts && tick == 50) continue;
    const double share = static_cast<double>(tick) / sample.ticks;
    const bool disturbed = share >= 0.4 && share < 0.6;
    const double wave = std::sin(0.3 * tick);
    const double power =
        sample.energy_scale * (made.power + 3 * wave + (disturbed && !made.adapts ? 60.0 : 0.0));
    RoutingStats stats = counts(tick, made.adapts);
    if (sample.routed_only) {
      stats.quality_loss = made.adapts ? 0.03 + 0.004 * wave : 0.0;
      stats.kept_mass = 1.0 - *stats.quality_loss;
    }
    if (made.adapts) plan.selection_bias(1)[2] = static_cast<float>(0.01 * share);
    MetricsRow row{.strategy = made.strategy,
                   .at = (tick + 1) * kTick,
                   .targets = targets,
                   .truth = {.energy = Watts(power) * kTick,
                             .mean_power = Watts(power),
                             .temperature = Celsius(40 + power / 25)},
                   .disturbance = {.background_power = Watts(disturbed ? 60.0 : 0.0)},
                   .step = {.tick = kTick,
                            .step_time = Seconds((9 + wave + power / 100) / 1e3),
                            .steps = 6.25,
                            .tokens = 100},
                   .stats = stats,
                   .plan = &plan,
                   .quality = {.bits_per_byte = made.adapts ? 1.434 : 1.43,
                               .baseline_bits = 1.43,
                               .kl_to_baseline = made.adapts ? 0.004 : 0.0,
                               .top1_agreement = 0.97}};
    if (made.adapts) {
      row.control.lambda = 0.02 * share;
      row.control.losses = ControllerState::Losses{
          .total = 0.5 - 0.3 * share, .power = 0.3 - 0.2 * share, .quality = 0.2 - 0.1 * share};
    }
    if (sample.routed_only) row.quality = {};
    if (sample.real) make_real(row, tick);
    if (sample.serves) make_serving(row, tick, made.adapts);
    recorder.add(row);
    logger.add(row);
  }
  logger.finish_strategy();
}

const char* device(const SampleRun& sample) {
  return sample.real ? "test GPU" : "simulated test GPU";
}

nlohmann::json config(const SampleRun& sample, const std::string& name) {
  const double end = sample.ticks * kTick.value;
  nlohmann::json out = {{"schema", 1},
                        {"costs", sample.hostile ? kHostile : "made up for a test"},
                        {"machine", {{"device", device(sample)}}},
                        {"experiment",
                         {{"name", name},
                          {"duration_s", end},
                          {"seed", 7},
                          {"strategies", {"BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA"}},
                          {"disturbances",
                           {{{"kind", "background"},
                             {"from_s", 0.4 * end},
                             {"to_s", 0.6 * end},
                             {"power_w", 60},
                             {"bandwidth_share", 0.15}}}}}}};
  if (sample.power_cap > 0) out["experiment"]["targets"]["power_w"] = sample.power_cap;
  if (sample.hostile) out["experiment"]["description"] = kHostile;
  if (sample.rounds > 1) out["experiment"]["rounds"] = sample.rounds;
  return out;
}

void tear(const std::string& path) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 30);
}

}  // namespace

SampleRun sample_run_named(const std::string& kind) {
  if (kind == "plain") return {};
  if (kind == "other") return {.name = "other", .power_cap = 320, .energy_scale = 0.9};
  if (kind == "hostile") return {.name = kHostile, .hostile = true};
  if (kind == "trace") return {.name = "trace", .routed_only = true};
  if (kind == "serving") return {.name = "serving", .routed_only = true, .serves = true};
  if (kind == "real") return {.name = "real", .real = true};
  if (kind == "rounds") return {.name = "rounds", .rounds = 2};
  if (kind == "killed") return {.name = "killed", .killed = true};
  throw UsageError(fmt::format(
      "{}: is not plain, other, trace, serving, rounds, real, hostile or killed", kind));
}

void write_sample_run(const std::string& folder, const SampleRun& sample) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/config.json") << config(sample, sample.name).dump(2) << "\n";
  Targets targets;
  if (sample.power_cap > 0) targets.power = Watts(sample.power_cap);
  if (sample.serves) targets.between_tokens = Seconds(0.024);
  Summary summary{.device = device(sample),
                  .simulated = !sample.real,
                  .seed = 7,
                  .costs = "made up for a test"};
  std::vector<Made> all = {
      {.strategy = "BASELINE", .power = 480},
      {.strategy = "STATIC_OPTIMAL", .power = 345},
      {.strategy = sample.hostile ? kHostile : "KERNEL_AWARE_TTHA", .power = 346, .adapts = true}};
  if (sample.serves) all[1] = {.strategy = "PACING_ALONE", .power = 350, .adapts = true};
  const std::vector<Made> first = all;
  for (int round = 2; round <= sample.rounds; ++round) {
    for (Made made : first) {
      made.strategy = to_string(TurnName{.strategy = made.strategy, .round = round});
      all.push_back(std::move(made));
    }
  }
  {
    MetricsLogger logger(folder, kLayers, kExperts);
    for (const Made& made : all) {
      StrategyRecorder recorder(
          {.name = made.strategy,
           .summary = {.targets = targets, .tick = kTick, .disturbed_at = Seconds(0)},
           .layers = kLayers,
           .experts = kExperts});
      run_strategy(made, sample, logger, recorder, targets);
      summary.strategies.push_back(recorder.summary());
      if (sample.serves) summary.strategies.back().serving->asked_tokens_per_second = 1000.0;
      if (sample.routed_only) continue;
      summary.strategies.back().loss_interval = Interval{.low = -1.25, .high = 12.04};
    }
  }
  if (sample.killed) {
    tear(folder + "/metrics.csv");
  } else {
    write_summary(folder, summary);
  }
}

}  // namespace thermoe
