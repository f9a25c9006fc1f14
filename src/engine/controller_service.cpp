// SPDX-License-Identifier: Apache-2.0
#include "engine/controller_service.h"

#include <chrono>
#include <exception>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_selection.h"
#include "telemetry/nvml_source.h"
#include "telemetry/one_gpu_source.h"

namespace thermoe {
namespace {

/// Of a tick, between two polls of a driver: of a sensor that is updated about once a tick it is
/// then known when.
constexpr double kPollPeriod = 0.2;

std::unique_ptr<Source> open_nvml(const EngineConfig& config) {
  const TelemetryConfig& telemetry = config.telemetry;
  auto nvml = std::make_unique<NvmlSource>(
      NvmlOptions{.library = telemetry.library, .library_setting = "telemetry.library"});
  const Snapshot there = nvml->read(Seconds(0));
  const GpuSelection asked{.origin = config.path + ": /telemetry/gpu", .names = {telemetry.gpu}};
  const SelectedGpus selected = select(asked, there.gpus);
  if (!selected.amiss.empty()) throw UsageError(selected.amiss);
  if (selected.gpus.front().uuid.empty()) {
    throw TelemetryError(
        fmt::format("GPU {} tells no UUID: it is lost; see what `nvidia-smi` says", telemetry.gpu));
  }
  return std::make_unique<OneGpuSource>(std::move(nvml), selected.gpus.front().uuid);
}

HandedDecision before_control(const EngineConfig& config) {
  const RouterSpec& router = config.control.router;
  HandedDecision first{
      .routes = {.plan = RoutingPlan(config.control.layers, router.experts, router.k)},
      .step_period = config.control.step_period,
      .calibrating = true};
  if (config.by_mask) {
    first.routes.mask.assign(
        static_cast<std::size_t>(config.control.layers) * static_cast<std::size_t>(router.experts),
        1);
  }
  return first;
}

}  // namespace

ControllerService::ControllerService(EngineConfig config, MakeController make_controller)
    : config_(std::move(config)),
      told_(config_.own_thread ? nullptr : std::make_unique<VirtualClock>()),
      own_(config_.own_thread ? std::make_unique<SteadyClock>() : nullptr),
      clock_(told_ ? static_cast<const Clock*>(told_.get()) : own_.get()),
      costs_(config_, config_.cost_model),
      simulated_(config_.telemetry.kind == TelemetryKind::kSimulated
                     ? std::make_unique<SimulatedSteps>(config_, costs_)
                     : nullptr),
      monitor_(open_source(), *clock_, {.period = kPollPeriod * config_.control.tick}),
      steps_(config_.control.layers, config_.control.router.experts,
             config_.control.engine.value_or(ServingEngine{}).batch_limit),
      hand_over_(before_control(config_)),
      metrics_(config_.metrics ? std::make_unique<EngineMetrics>(config_, *clock_) : nullptr),
      loop_({.config = config_,
             .costs = costs_,
             .simulated = simulated_.get(),
             .monitor = monitor_,
             .polls = config_.telemetry.kind != TelemetryKind::kNvml,
             .steps = steps_,
             .hand_over = hand_over_,
             .make_controller = std::move(make_controller),
             .metrics = metrics_.get()}),
      next_(config_.control.tick) {
  if (config_.telemetry.kind == TelemetryKind::kNvml) monitor_.start();
  if (config_.own_thread) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }
}

ControllerService::~ControllerService() = default;

std::unique_ptr<Source> ControllerService::open_source() const {
  switch (config_.telemetry.kind) {
    case TelemetryKind::kSimulated:
      return simulated_->open_sensors();
    case TelemetryKind::kCaller:
      return std::make_unique<CallerSensors::AsSource>(sensors_, config_.control.guard.stale_after);
    case TelemetryKind::kNvml:
      break;
  }
  return open_nvml(config_);
}

void ControllerService::work(const std::stop_token& stop) {
  const auto period = std::chrono::duration<double>(config_.control.tick.value);
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, period, [] { return false; });
    }
    if (stop.stop_requested()) return;
    try {
      loop_.tick(clock_->now());
    } catch (const std::exception& e) {  // a thread's root: the safe plan runs from now on
      loop_.end(e.what());
      return;
    }
  }
}

void ControllerService::advance(Seconds now) {
  if (!told_) {
    throw UsageError(
        "the controller has a thread and a clock of its own; open it with \"control\": "
        "{\"thread\": false} to tell it the time");
  }
  if (!(now >= told_->now())) {
    throw UsageError(fmt::format("now_s is {}, but it was {} before; time never falls", now.value,
                                 told_->now().value));
  }
  constexpr double kMostTicks = 1e6;  // some minutes of work; a day has 864,000
  if ((now - told_->now()) / config_.control.tick > kMostTicks) {
    throw UsageError(
        fmt::format("now_s is {}, but it was {} before: more than a million ticks of {} s; give it "
                    "seconds, and go there in smaller steps",
                    now.value, told_->now().value, config_.control.tick.value));
  }
  constexpr Seconds kSlack{1e-9};  // ticks are sums
  while (next_ <= now + kSlack) {
    told_->advance_to(next_);
    loop_.tick(next_);
    next_ += config_.control.tick;
  }
  told_->advance_to(now);
}

void ControllerService::set_reading(const GpuReading& reading) {
  if (config_.telemetry.kind != TelemetryKind::kCaller) {
    throw UsageError(
        "readings are handed in, but \"telemetry\" has a source that reads by itself; open it with "
        "\"source\": \"caller\"");
  }
  sensors_.set(reading, now());
}

}  // namespace thermoe
