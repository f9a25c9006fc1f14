// SPDX-License-Identifier: Apache-2.0
#include "cli/load_command.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/number_option.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "kernels/device_description.h"
#include "machine/tenant/device_tenant_work.h"
#include "machine/tenant/tenant_session.h"
#include "telemetry/nvml_source.h"

namespace thermoe {
namespace {

constexpr double kLongest = 1e7;  // seconds
constexpr int kMostGpus = 1024;   // that an index may name

struct Flags {
  std::optional<double> power_fraction{}, duty{};
  double products = 0.5;
  double seconds = 0.0;  // 0 = not given
  int gpu = 0;
  std::string nvml_library{};
  bool commands = false, json = false;
};

void check(const Flags& flags) {
  if (flags.power_fraction.has_value() == flags.duty.has_value()) {
    throw UsageError(
        "load: how much? Give --power-fraction F (of the watts between idle and limit) or --duty D "
        "(of the time), one of the two");
  }
  if (flags.commands && (flags.seconds > 0.0 || flags.json)) {
    throw UsageError(
        "--commands: works while standard input says so, and speaks JSON; leave --for and --json "
        "out");
  }
}

/// The end of the run that started this program is its own, whatever holds it then.
void end_with_parent() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) throw Error("load: the run that started it has ended");
}

TenantSession session_of(const Flags& flags, const Clock& clock, const std::atomic<bool>& stop) {
  NvmlOptions nvml{.energy_period = Seconds(0)};
  if (!flags.nvml_library.empty()) nvml.library = flags.nvml_library;
  use_device(flags.gpu);
  const DeviceDescription device = describe_device();
  if (flags.power_fraction && !flags.commands && !flags.json) {
    say("load: measures the idle GPU and some duties, less than 20 s\n");
  }
  const auto make_work = [gpu = flags.gpu] {
    use_device(gpu);
    return std::make_unique<DeviceTenantWork>();
  };
  return {{.power_fraction = flags.power_fraction,
           .duty = flags.duty,
           .load = {.products_share = flags.products}},
          {.make_work = make_work,
           .source = std::make_unique<NvmlSource>(nvml),
           .clock = clock,
           .stop = stop},
          {.gpu = device.name,
           .uuid = device.uuid,
           .processes = find_gpu_processes(nvml.library, device.uuid)}};
}

void say_ready(const TenantReady& ready, bool for_ever) {
  std::string words =
      fmt::format("load: {}: duty {:.1f} %", printable(ready.gpu, true), 100 * ready.duty);
  if (ready.added) {
    words += fmt::format(" adds {:.0f} W to {:.0f} W of the idle GPU (limit {:.0f} W)",
                         ready.added->value, ready.idle->value, ready.limit->value);
  }
  words += '\n';
  for (const GpuProcess& p : ready.processes.value_or(std::vector<GpuProcess>{})) {
    words +=
        fmt::format("load: on that GPU is also process {} {}\n", p.pid, printable(p.name, true));
  }
  say(words + (for_ever ? "load: works until Ctrl-C\n" : ""));
}

void print_words(const TenantReady& ready, const TenantDone& done) {
  const TenantTally& t = done.tally;
  fmt::print(
      "worked {:.1f} s: bursts filled {:.1f} % of the time ({:.1f} asked for), {} of them, {} "
      "late, {} given up, the longest {:.2f} ms{}\n",
      t.working.value, 100 * t.achieved_duty(), 100 * ready.duty, t.bursts, t.late, t.dropped,
      1e3 * t.longest.value,
      done.mean ? fmt::format("; {:.0f} W on average", done.mean->value) : "");
}

void print_json(const TenantReady& ready, const TenantDone& done) {
  const TenantTally& t = done.tally;
  nlohmann::ordered_json out = nlohmann::ordered_json::parse(to_line(ready));
  out.erase("ready");
  out["worked_s"] = t.working.value;
  out["achieved_duty"] = t.achieved_duty();
  out["bursts"] = t.bursts;
  out["late_bursts"] = t.late;
  out["dropped_bursts"] = t.dropped;
  out["longest_burst_ms"] = 1e3 * t.longest.value;
  if (done.mean) out["mean_w"] = done.mean->value;
  fmt::print("{}\n", json_text(out, 1));
}

void run_load(const Flags& flags, const std::atomic<bool>& stop) {
  check(flags);
  if (flags.commands) end_with_parent();
  const SteadyClock clock;
  TenantSession session = session_of(flags, clock, stop);
  if (flags.commands) {
    fmt::print("{}\n", to_line(session.ready()));
    if (std::fflush(stdout) != 0) throw WriteError("standard output: nobody reads it");
    return session.obey(STDIN_FILENO);
  }
  std::optional<Seconds> length;
  if (flags.seconds > 0.0) length = Seconds(flags.seconds);
  if (!flags.json) say_ready(session.ready(), !length);
  const TenantDone done = session.work(length);
  flags.json ? print_json(session.ready(), done) : print_words(session.ready(), done);
}

}  // namespace

void add_load_command(CLI::App& app, const std::atomic<bool>& stop) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("load", "Work on a GPU as another tenant of it, at so many watts");
  command
      ->add_option(
          "--power-fraction", flags->power_fraction,
          "Add so much of what lies between the GPU's idle power and its limit, alone; the "
          "duty for it is measured first")
      ->type_name("F")
      ->check(real_number(0.001, 1.0));
  command->add_option("--duty", flags->duty, "Work so much of the time")
      ->type_name("D")
      ->check(real_number(0.001, 1.0));
  command
      ->add_option("--products", flags->products,
                   "Matrix products, of the time at work; the rest is copies")
      ->type_name("SHARE")
      ->capture_default_str()
      ->check(real_number(0.0, 1.0));
  command->add_option("--for", flags->seconds, "Work so long; without it until Ctrl-C")
      ->type_name("S")
      ->check(real_number(0.1, kLongest));
  command->add_option("--gpu", flags->gpu, "CUDA's index of the GPU")
      ->type_name("N")
      ->capture_default_str()
      ->check(whole_number(0, kMostGpus));
  command->add_option("--nvml-library", flags->nvml_library, "NVML to load instead of the driver's")
      ->type_name("FILE");
  command->add_flag("--commands", flags->commands,
                    "For a run: say when ready, work and rest as standard input says, on or off a "
                    "line, and end with it");
  command->add_flag("--json", flags->json, "What was done as JSON");
  command->footer(
      "Bursts last at most 1 ms and are spread over the time; between them it sleeps. Beside\n"
      "others on the GPU it does the same work, in bursts that take longer.\n"
      "Exit codes: 0 done, 1 the GPU failed, 2 bad input or nothing to work on.");
  command->callback([flags, &stop] { run_load(*flags, stop); });
}

}  // namespace thermoe
