// SPDX-License-Identifier: Apache-2.0
#include "doctor/profiler_probe.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/readable.h"
#include "doctor/capabilities.h"
#include "doctor/cupti_probe.h"
#include "doctor/gpu_probe.h"
#include "profile/under/profiler_tool.h"
#include "telemetry/host_file.h"

namespace thermoe::doctor {
namespace {

constexpr int kDriverWithPerfmon = 565;  // from it on CAP_PERFMON opens the counters as well

/// Fills in a profiler; returns its path if it works.
std::optional<std::string> probe(const HostSystem& machine, Profiler profiler, Finding& finding) {
  const ProfilerFacts& facts = facts_of(profiler);
  const auto program = find_profiler(machine, profiler);
  finding.remedy = facts.remedy;
  if (!program) {
    finding.status = Status::kMissing;
    finding.detail = fmt::format("not on PATH, nor in {}", facts.looked_in);
    return std::nullopt;
  }
  const auto answer = ask_profiler_version(machine, profiler, *program);
  if (!take_version(answer, *program, finding)) return std::nullopt;
  finding.remedy.clear();
  return program;
}

Finding nsys_sqlite(const HostSystem& machine, const std::optional<std::string>& program) {
  Finding finding{.id = "nsys.sqlite",
                  .title = "nsys export to SQLite",
                  .enables = "reading kernel times out of a recorded timeline"};
  if (!program) {
    finding.detail = "no working nsys to ask";
    return finding;
  }
  finding.detail = why_no_sqlite(machine, *program);
  if (finding.detail.empty()) {
    finding.status = Status::kFound;
    finding.value = "nsys export --type sqlite";
  } else {
    finding.status = Status::kBroken;
    finding.remedy = kCurrentNsys;
  }
  return finding;
}

Finding ncu(const HostSystem& machine) {
  Finding finding{.id = "ncu",
                  .title = "Nsight Compute (ncu)",
                  .enables = "hardware counters of a single kernel: what bounds it"};
  probe(machine, Profiler::kNcu, finding);
  return finding;
}

/// Why this process may use counters that are closed to others, or nullopt.
std::optional<std::string> privilege(const HostSystem& machine, const Capabilities& process) {
  if (process.sys_admin) return "this process has CAP_SYS_ADMIN";
  const auto driver = version_numbers(kernel_driver_version(machine).value_or(""));
  if (process.perfmon && !driver.empty() && driver[0] >= kDriverWithPerfmon) {
    return "this process has CAP_PERFMON";
  }
  return std::nullopt;
}

Finding gpu_counters(const HostSystem& machine) {
  Finding finding{.id = "gpu.counters",
                  .title = "GPU performance counters",
                  .enables = "ncu, and the GPU metrics of nsys"};
  const auto parameters = read_host_file(machine.at("/proc/driver/nvidia/params")).text;
  const auto admin_only = parameters ? value_of(*parameters, "RmProfilingAdminOnly") : std::nullopt;
  if (!admin_only) {
    finding.detail =
        parameters ? "the driver does not say who may use them" : "no NVIDIA kernel driver to ask";
    return finding;
  }
  finding.status = Status::kFound;
  finding.value = "open to every user";
  if (*admin_only == "0") return finding;
  const Capabilities process = capabilities_of_process(machine);
  const auto why = privilege(machine, process);
  finding.value = "for administrators" + (why ? "; " + *why : "");
  if (why && !process.own_user_namespace) return finding;
  finding.status = why ? Status::kUnknown : Status::kNotPermitted;
  finding.detail =
      why ? "but in a user namespace of its own (rootless container), where that may not count"
          : "ncu would fail with ERR_NVGPUCTRPERM";
  finding.remedy = kOpenCounters;
  return finding;
}

Finding perf_event(const HostSystem& machine) {
  Finding finding{.id = "perf_event",
                  .title = "CPU sampling by nsys",
                  .enables = "CPU call stacks beside the GPU's timeline; kernel times need none"};
  const auto text = read_host_file(machine.at("/proc/sys/kernel/perf_event_paranoid")).text;
  if (!text) {
    finding.detail =
        "perf_event_paranoid is not readable: this kernel has no perf events, or a "
        "sandbox hides them";
    finding.remedy = "trace without it: nsys profile --sample=none --cpuctxsw=none";
    return finding;
  }
  const int level = std::atoi(text->c_str());
  const Capabilities process = capabilities_of_process(machine);
  finding.value = fmt::format("perf_event_paranoid is {}", level);
  finding.status = Status::kFound;
  if (level <= 2) return finding;
  if ((process.sys_admin || process.perfmon) && !process.own_user_namespace) {
    finding.value += ", which this process may pass over";
    return finding;
  }
  finding.status = Status::kNotPermitted;
  finding.detail = "nsys needs 2 or less";
  finding.remedy =
      "until the next boot:\n"
      "$ sudo sysctl kernel.perf_event_paranoid=2\n"
      "for good:\n"
      "$ echo kernel.perf_event_paranoid=2 | sudo tee /etc/sysctl.d/60-perf.conf";
  return finding;
}

}  // namespace

Section probe_profilers(const HostSystem& machine) {
  Finding systems{.id = "nsys",
                  .title = "Nsight Systems (nsys)",
                  .enables = "a timeline of every kernel of a run on a GPU"};
  const auto program = probe(machine, Profiler::kNsys, systems);
  return {.title = "Profilers",
          .findings = {systems, nsys_sqlite(machine, program), ncu(machine), gpu_counters(machine),
                       perf_event(machine)}};
}

}  // namespace thermoe::doctor
