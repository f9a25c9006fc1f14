// SPDX-License-Identifier: Apache-2.0
#include "profile/under/profiler_tool.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/program_output.h"

namespace thermoe {
namespace {

constexpr ProfilerFacts kNsys{
    .program = "nsys",
    .title = "Nsight Systems",
    .looked_in = "/usr/local/cuda*/bin or /opt/nvidia/nsight-systems*",
    .remedy =
        "install Nsight Systems (https://developer.nvidia.com/nsight-systems; from NVIDIA's "
        "package source):\n"
        "$ sudo apt install nsight-systems-cli"};
constexpr ProfilerFacts kNcu{
    .program = "ncu",
    .title = "Nsight Compute",
    .looked_in = "/usr/local/cuda*/bin or /opt/nvidia/nsight-compute*",
    .remedy =
        "install Nsight Compute (https://developer.nvidia.com/nsight-compute; it comes with "
        "the full CUDA toolkit)"};

std::vector<std::string> folders_of(const ProgramPlaces& places, Profiler profiler) {
  std::vector<std::string> folders = cuda_folders(places, "/bin");
  const auto add = [&](const char* pattern) {
    for (const std::string& folder : folders_like(places, pattern)) folders.push_back(folder);
  };
  if (profiler == Profiler::kNsys) {
    add("/opt/nvidia/nsight-systems*/bin");
    add("/opt/nvidia/nsight-systems*/*/bin");
    add("/opt/nvidia/nsight-systems*/*/target-linux-*");
  } else {
    add("/opt/nvidia/nsight-compute*/*");
    add("/usr/local/cuda*/nsight-compute-*");
  }
  return folders;
}

}  // namespace

const char* const kOpenCounters =
    "for every user, for good (the driver is loaded anew by the restart):\n"
    "$ echo 'options nvidia NVreg_RestrictProfilingToAdminUsers=0' | sudo tee "
    "/etc/modprobe.d/nvidia-profiling.conf\n"
    "$ sudo update-initramfs -u && sudo reboot\n"
    "or for one container:\n"
    "$ docker run --gpus all --cap-add SYS_ADMIN ...\n"
    "or run the profiler with sudo";

const char* const kCurrentNsys = "install a current Nsight Systems: since 2020 every one can";

const ProfilerFacts& facts_of(Profiler profiler) {
  return profiler == Profiler::kNsys ? kNsys : kNcu;
}

std::optional<std::string> find_profiler(const ProgramPlaces& places, Profiler profiler) {
  return find_program(places, {facts_of(profiler).program}, folders_of(places, profiler));
}

VersionAnswer ask_profiler_version(const ProgramPlaces& places, Profiler profiler,
                                   const std::string& program) {
  // ncu first says the years of its copyright, nsys its own name.
  const char* before = profiler == Profiler::kNsys ? "version" : "Version";
  return ask_version(places, program, {.before = before});
}

std::string in_one_line(std::string_view remedy) {
  std::string text;
  bool after_command = false;
  while (!remedy.empty()) {
    std::string_view line = remedy.substr(0, remedy.find('\n'));
    remedy.remove_prefix(std::min(remedy.size(), line.size() + 1));
    const bool command = line.starts_with("$ ");
    if (command) {
      text += fmt::format("{} `{}`", after_command ? "," : "", line.substr(2));
    } else {
      text += fmt::format("{}{}", text.empty() ? "" : "; ", line);
    }
    after_command = command;
  }
  return text;
}

std::string why_no_sqlite(const ProgramPlaces& places, const std::string& nsys) {
  const ProgramOutput help = run_program(
      {nsys, "export", "--help"}, {.environment = places.environment, .patience = places.patience});
  if (!help.succeeded()) return "nsys export --help " + help.failure(places.patience);
  const bool listed = (help.out + help.err).find("sqlite") != std::string::npos;
  return listed ? "" : "nsys export --help does not list the type sqlite";
}

}  // namespace thermoe
