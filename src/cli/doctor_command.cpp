// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_command.h"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <sys/ioctl.h>
#include <torch/version.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "cli/terminal_environment.h"
#include "cli/version.h"
#include "doctor/run_doctor.h"

namespace thermoe {
namespace {

/// A member of LibTorch's own account of how it was built: "..., CUDA_VERSION=13.0, ...".
std::optional<std::string> build_setting(const std::string& config, const std::string& name) {
  const std::size_t at = config.find(" " + name + "=");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t from = at + name.size() + 2;
  return config.substr(from, config.find(',', from) - from);
}

doctor::TorchFacts torch_facts() {
  const std::string config = at::show_config();
  doctor::TorchFacts facts{
      .built_version = TORCH_VERSION,
      .loaded_version = build_setting(config, "TORCH_VERSION").value_or("of unknown version"),
      .cuda = build_setting(config, "CUDA_VERSION")};
  Dl_info info{};
  // Any symbol that is defined in libtorch_cpu says where LibTorch lies.
  if (::dladdr(reinterpret_cast<void*>(&at::globalContext), &info) != 0) {
    facts.library = info.dli_fname;
  }
  return facts;
}

doctor::TextStyle style_of_stdout() {
  doctor::TextStyle style{.colour = output_has_colour(), .unicode = speaks_utf8()};
  winsize window{};
  if (::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 &&
      window.ws_col > 0) {
    style.width = window.ws_col;
  }
  return style;
}

void examine(bool json) {
  doctor::HostSystem machine = doctor::this_system();
  machine.torch = torch_facts();
  const int code =
      doctor::run_doctor(machine, {.json = json, .style = style_of_stdout(), .version = kVersion});
  if (code != 0) throw CLI::RuntimeError(code);
}

}  // namespace

void add_doctor_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "doctor", "Say what this machine has, what each missing thing would enable, and the remedy");
  command->add_flag("--json", *json, "Print JSON (docs/doctor.md lists its members)");
  command->footer(
      "Looks at processor, memory, LibTorch, the files of the current folder, NVIDIA driver, "
      "NVML,\n"
      "CUDA, CUPTI, nsys, ncu, permission for counters, and the host's sensors. Changes nothing.\n"
      "Exit codes: 0 simulated runs and the CPU kernels work here, whatever else is missing;\n"
      "1 something that they need is missing or broken; 2 bad input.");
  command->callback([json] { examine(*json); });
}

}  // namespace thermoe
