// SPDX-License-Identifier: Apache-2.0
#include "run/gpu_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "machine/gpu/gpu_machine.h"
#include "telemetry/gpu_processes.h"
#include "telemetry/gpu_system_monitor.h"
#include "telemetry/nvml_session.h"
#include "telemetry/nvml_source.h"
#include "telemetry/one_gpu_source.h"

namespace thermoe {
namespace {

LoadProxyOptions load_of(const ExperimentInputs& inputs, const StepDecoder& decoder) {
  const Experiment& e = inputs.experiment;
  const auto has = [&](const char* dtype) {
    return std::find(inputs.dtypes.begin(), inputs.dtypes.end(), dtype) != inputs.dtypes.end();
  };
  return {.shape = inputs.shape,
          .precisions = {.bf16 = has("bf16"), .int4 = has("int4")},
          .tokens = e.batch,
          .model_layers = decoder.baseline().layers(),
          .router = decoder.router(),
          .distinct = e.gpu.distinct_layers.value_or(0)};
}

/// Of the experiment's tenants, which `check_experiment` has found to be one.
std::optional<double> power_fraction(const Experiment& e) {
  for (const Disturbance& d : e.disturbances) {
    if (d.kind == Disturbance::Kind::kBackground) return d.power_fraction;
  }
  return std::nullopt;
}

std::unique_ptr<TenantProcess> tenant_of(const Experiment& e, const GpuSessionOptions& options,
                                         Progress& progress) {
  const std::optional<double> fraction = power_fraction(e);
  if (!fraction) return nullptr;
  progress.note(fmt::format(
      "The other tenant calibrates itself: {:g} of the watts between idle and limit", *fraction));
  return std::make_unique<TenantProcess>(
      TenantProcessOptions{.program = options.program,
                           .power_fraction = *fraction,
                           .nvml_library = options.nvml_library});
}

}  // namespace

GpuSession::GpuSession(ExperimentInputs& inputs, const StepDecoder& decoder,
                       GpuSessionOptions options, Progress& progress, const std::atomic<bool>& stop)
    : inputs_(inputs),
      decoder_(decoder),
      options_(std::move(options)),
      progress_(progress),
      stop_(stop),
      device_(describe_device()),
      processes_(find_gpu_processes(options_.nvml_library, device_.uuid)),  // the tenant is none
      tenant_(tenant_of(inputs.experiment, options_, progress)),
      load_(load_of(inputs, decoder)) {
  describe();
}

GpuSession::~GpuSession() = default;

std::unique_ptr<Source> GpuSession::open_source(Seconds energy_period) const {
  return std::make_unique<OneGpuSource>(
      std::make_unique<NvmlSource>(
          NvmlOptions{.library = options_.nvml_library, .energy_period = energy_period}),
      device_.uuid);
}

void GpuSession::describe() {
  const NvmlSession session(options_.nvml_library);
  if (const auto& fault = session.fault()) throw UsageError(fault->sentence());
  inputs_.machine = {.device = device_.name,
                     .driver = session.driver_version(),
                     .real_time = true,
                     .uuid = device_.uuid,
                     .cuda = device_.driver_cuda,
                     .load = load_.options().description(),
                     .device_bytes = load_.device_bytes()};
  for (const GpuProcess& process : processes_.value_or(std::vector<GpuProcess>{})) {
    inputs_.machine.processes.push_back(fmt::format("{} ({})", process.pid, process.name));
  }
  if (!tenant_) return;
  for (Disturbance& d : inputs_.experiment.disturbances) {
    if (d.kind != Disturbance::Kind::kBackground) continue;
    d.power = tenant_->added_power();
    d.bandwidth_share = 0.0;  // a simulated tenant's; what a real one takes is not measured
  }
}

std::optional<CostCalibration> GpuSession::calibrate() {
  const SteadyClock clock;
  GpuSystemMonitor monitor(open_source(Seconds(0)), clock, {.period = Seconds(0.02)});
  monitor.start();
  const Experiment& e = inputs_.experiment;
  auto found = calibrate_costs(
      {.shape = inputs_.shape,
       .dtypes = inputs_.dtypes,
       .router = decoder_.router(),
       .layers = decoder_.baseline().layers(),
       .tokens = e.batch,
       .step_period = e.step_period(),
       .base = inputs_.costs,
       .device = inputs_.machine.device,
       .driver = inputs_.machine.driver,
       .seed = e.seed},
      {.load = load_, .monitor = monitor, .clock = clock, .stop = stop_},
      [&](Seconds done, Seconds of) { progress_.update("calibration of costs", done, of, ""); });
  if (found) use_costs(inputs_, found->costs);
  return found;
}

// Turns begin at a common temperature: the first turn's, or they would be compared by their order.
void GpuSession::cool_down() {
  const SteadyClock clock;
  const std::unique_ptr<Source> source = open_source(Seconds(1e9));
  constexpr Celsius kNear{1.0};
  const Seconds longest = inputs_.experiment.gpu.cool_down;
  while (!stop_.load()) {
    const Snapshot snapshot = source->read(clock.now());
    const auto& temperature = snapshot.gpus.front().temperature.value;
    if (!temperature) return;
    if (!start_temperature_) start_temperature_ = temperature;
    if (*temperature <= *start_temperature_ + kNear || clock.now() >= longest) return;
    progress_.update("cooling down", clock.now(), longest,
                     fmt::format("{:.0f} C, to {:.0f} C", temperature->value,
                                 (*start_temperature_ + kNear).value));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

MachineFactory GpuSession::machines() {
  return [this](const Turn& /*turn*/) {
    cool_down();
    const Experiment& e = inputs_.experiment;
    return std::make_unique<GpuMachine>(GpuMachineOptions{
        .load = load_,
        .router = decoder_.router(),
        .open_source = [this](Seconds energy_period) { return open_source(energy_period); },
        .decode_steps_per_tick = e.decode_steps_per_tick,
        .disturbances = e.disturbances,
        .tenant = tenant_.get()});
  };
}

}  // namespace thermoe
