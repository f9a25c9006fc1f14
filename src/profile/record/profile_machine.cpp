// SPDX-License-Identifier: Apache-2.0
#include "profile/record/profile_machine.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "core/errors.h"
#include "kernels/device_description.h"
#include "kernels/device_stream.h"
#include "kernels/hold_stream.h"
#include "profile/ops/device_works.h"
#include "profile/ops/host_works.h"
#include "profile/record/device_timer.h"
#include "profile/record/sustained_work.h"
#include "telemetry/host_source.h"
#include "telemetry/nvml_session.h"
#include "telemetry/nvml_source.h"
#include "telemetry/one_gpu_source.h"

namespace thermoe {
namespace {

/// As the kernel calls the processor.
std::string host_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU of unknown name";
}

ProfileMachine open_host(const ProfileMachineOptions& options, const Clock& clock) {
  ProfileMachine machine;
  machine.facts = {.backend = "cpu", .device = host_name(), .seed = options.seed};
  machine.make = [works = std::make_shared<HostWorks>(options.seed)](const OpPoint& point) {
    return works->make(point);
  };
  machine.sustain = [&clock](OpWork work) { return sustained_on_host(std::move(work), clock); };
  machine.timer = std::make_unique<HostTimer>(clock);
  machine.sensors = std::make_unique<HostSource>(HostPaths{});
  machine.notes.emplace_back("times are the host's steady clock around each execution");
  return machine;
}

/// Nothing where it does not record, and a note that says why.
std::unique_ptr<CuptiActivity> open_cupti(const ProfileMachineOptions& options,
                                          std::vector<std::string>& notes) {
  const auto without = [&](const std::string& why) {
    notes.push_back(fmt::format("times are by CUDA events, launches included: {}", why));
    return std::unique_ptr<CuptiActivity>();
  };
  if (!options.use_cupti) return without("another profiler has CUPTI (--child)");
  auto cupti = std::make_unique<CuptiActivity>(options.cupti);
  if (cupti->problem()) return without(*cupti->problem());
  // Beside another profiler it may take every call and record nothing.
  const DeviceStream stream;
  cupti->begin_execution(0);
  hold_stream(Seconds(0), stream);
  cupti->end_execution();
  synchronise(stream);
  if (cupti->take().empty()) return without("CUPTI does not show a kernel that has run");
  notes.emplace_back("times are of CUPTI's kernel records");
  return cupti;
}

ProfileMachine open_device(const ProfileMachineOptions& options, const Clock& clock) {
  const DeviceDescription device = describe_device();
  NvmlOptions nvml{.energy_period = Seconds(0)};
  if (!options.nvml_library.empty()) nvml.library = options.nvml_library;
  ProfileMachine machine{.backend = Backend::kCuda};
  machine.facts = {.backend = "cuda", .device = device.name, .seed = options.seed};
  {
    const NvmlSession session(nvml.library);
    if (!session.fault()) machine.facts.driver = session.driver_version();
  }
  machine.make = [works = std::make_shared<DeviceWorks>(options.seed)](const OpPoint& point) {
    return works->make(point);
  };
  machine.sustain = [](OpWork work) { return sustained_on_device(std::move(work)); };
  machine.timer = std::make_unique<DeviceTimer>(open_cupti(options, machine.notes), clock);
  machine.sensors = std::make_unique<OneGpuSource>(std::make_unique<NvmlSource>(nvml), device.uuid);
  return machine;
}

}  // namespace

ProfileMachine open_profile_machine(const ProfileMachineOptions& options, const Clock& clock) {
  if (const auto problem = backend_problem(options.backend)) throw UsageError(*problem);
  return options.backend == Backend::kCpu ? open_host(options, clock) : open_device(options, clock);
}

}  // namespace thermoe
