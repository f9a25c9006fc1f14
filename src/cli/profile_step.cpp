// SPDX-License-Identifier: Apache-2.0
#include "cli/profile_step.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "core/clock.h"
#include "core/errors.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "cost/other_fit.h"
#include "cost/whole_step.h"
#include "kernels/backend.h"
#include "kernels/device_description.h"
#include "machine/gpu/load_proxy.h"
#include "profile/record/step_profile.h"
#include "telemetry/gpu_system_monitor.h"
#include "telemetry/nvml_session.h"
#include "telemetry/nvml_source.h"
#include "telemetry/one_gpu_source.h"

namespace thermoe {
namespace {

constexpr Seconds kPoll{0.02};

NvmlOptions nvml_of(const StepTask& task) {
  NvmlOptions options{.energy_period = Seconds(0)};
  if (!task.nvml_library.empty()) options.library = task.nvml_library;
  return options;
}

std::string driver_of(const NvmlOptions& options) {
  const NvmlSession session(options.library);
  if (const auto& fault = session.fault()) throw UsageError(fault->sentence());
  return session.driver_version();
}

LoadProxyOptions load_of(const StepTask& task, int tokens) {
  const ExpertShape& shape = task.model.experts;
  return {.shape = shape,
          .precisions = {.bf16 = task.dtype == "bf16", .int4 = task.dtype == "int4"},
          .tokens = tokens,
          .model_layers = shape.layers,
          .router = {.experts = shape.experts, .k = shape.top_k}};
}

void check_task(const StepTask& task) {
  if (const auto problem = backend_problem(Backend::kCuda)) {
    throw UsageError("--step: whole steps run on a GPU only: " + *problem);
  }
  if (task.cost_model.empty()) {
    throw UsageError(
        "--step: name a cost model with --cost-model: its tables know the expert layers that are "
        "taken off");
  }
  for (const int tokens : task.tokens) check_options(load_of(task, tokens));
}

}  // namespace

bool profile_step(const StepTask& task, const std::atomic<bool>& stop) {
  check_task(task);
  const KernelCostModel costs = KernelCostModel::load(task.cost_model);
  const DeviceDescription device = describe_device();
  const NvmlOptions nvml = nvml_of(task);
  const std::string driver = driver_of(nvml);
  std::error_code error;
  std::filesystem::create_directories(task.out, error);
  if (error) throw WriteError(fmt::format("--out {}: {}", task.out, error.message()));
  const std::string path = (std::filesystem::path(task.out) / "steps.csv").string();
  std::vector<StepRow> rows;
  if (std::filesystem::exists(path)) rows = read_step_rows(path);

  const SteadyClock clock;
  GpuSystemMonitor monitor(
      std::make_unique<OneGpuSource>(std::make_unique<NvmlSource>(nvml), device.uuid), clock,
      {.period = kPoll});
  monitor.start();
  const std::string comment =
      fmt::format("{} in {}, back to back, on {}, driver {}; step_j by NVML's energy counter",
                  load_of(task, 1).shape.name, task.dtype, device.name, driver);
  const bool complete = profile_steps(
      {.shape = task.model.experts,
       .dtype = task.dtype,
       .tokens = task.tokens,
       .device = device.name,
       .driver = driver,
       .base = costs,
       .seed = task.seed},
      {.make_load = [&](int tokens) { return std::make_unique<LoadProxy>(load_of(task, tokens)); },
       .monitor = monitor,
       .clock = clock,
       .stop = stop,
       .progress =
           [](Seconds done, Seconds of) {
             say(fmt::format("{:5.0f} of {:.0f} s  steps of one batch\n", done.value, of.value));
           }},
      rows,
      [&](const std::vector<StepRow>& measured) { write_step_rows(measured, comment, path); });
  if (!complete) return false;
  const OtherFit fit = fit_other_costs(read_step_rows(path), costs,
                                       {.rows_file = path,
                                        .model = task.model.experts.name,
                                        .engine = kLoadProxyEngine,
                                        .dtype = task.dtype});
  write_other_costs(fit.other, task.cost_model, task.cost_model);
  fmt::print("{}Measured steps: {}\nWritten to {}.\n", printable_lines(fit_text(fit)),
             printable(path, true), printable(task.cost_model, true));
  return true;
}

}  // namespace thermoe
