// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_metrics.h"

#include "engine/version.h"
#include "metrics/hostname.h"
#include "metrics/metrics_board.h"
#include "metrics/metrics_server.h"

namespace thermoe {
namespace {

std::string_view source_of(TelemetryKind kind) {
  switch (kind) {
    case TelemetryKind::kNvml:
      return "NVML";
    case TelemetryKind::kCaller:
      return "caller";
    case TelemetryKind::kSimulated:
      break;
  }
  return "simulated";
}

}  // namespace

struct EngineMetrics::Served {
  Served(const EngineConfig& config, const Clock& clock)
      : settings(config),
        board({.version = kVersion, .hostname = hostname()}, clock),
        server({.host = config.metrics->address, .port = config.metrics->port},
               [this] { return board.collect(); }) {}

  void add(const ServingTick& tick) {
    if (!serving) serving.emplace();
    serving->running = tick.running;
    serving->waiting = tick.waiting;
    serving->batch = tick.batch;
    for (const TokenGap& gap : tick.between_tokens) {
      serving->between_tokens.add(gap.gap.value, gap.tokens);
    }
  }

  const EngineConfig& settings;
  MetricsBoard board;
  std::optional<ServingValues> serving{};
  MetricsServer server;  // last: ends before what it shows
};

EngineMetrics::EngineMetrics(const EngineConfig& config, const Clock& clock)
    : served_(std::make_unique<Served>(config, clock)) {}

EngineMetrics::~EngineMetrics() = default;

const std::string& EngineMetrics::url() const { return served_->server.url(); }

void EngineMetrics::publish(const EngineState& state) {
  const EngineConfig& config = served_->settings;
  if (state.metrics && state.metrics->serving) served_->add(*state.metrics->serving);
  // Of all steps: a request may end in a tick without a decode step.
  if (served_->serving) served_->serving->finished = static_cast<double>(state.steps.finished);
  const auto of_tick = [&state](Seconds StepMetrics::*member) {
    return state.metrics ? std::optional(*state.metrics.*member) : std::nullopt;
  };
  served_->board.publish(HardwareValues{.source = std::string(source_of(config.telemetry.kind)),
                                        .snapshot = state.snapshot});
  served_->board.publish(ControlValues{
      .labels = {{"model_name", config.metrics->model_name}, {"engine", config.metrics->engine}},
      .strategy = std::string(to_string(config.control.strategy)),
      .simulated = state.snapshot.simulated,
      .targets = config.control.targets,
      .activation_price = state.control.lambda,
      .active_experts = state.active_by_layer,
      .kept_mass = state.kept_mass,
      .fallback = !state.control.fallback.empty(),
      .at_floor = state.control.saturated,
      .step_time = of_tick(&StepMetrics::step_time),
      .step_period = of_tick(&StepMetrics::step_period),
      .steps = static_cast<double>(state.steps.decoded),
      .tokens = static_cast<double>(state.steps.decode_tokens),
      .serving = served_->serving});
}

}  // namespace thermoe
