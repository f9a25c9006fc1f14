// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <thread>

#include "doctor/host_system.h"

namespace thermoe::doctor {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::vector<std::string> folders_of(const std::string& path) {
  std::vector<std::string> folders;
  std::istringstream in(path);
  for (std::string folder; std::getline(in, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

/// Programs get what they need to start and nothing else: no secrets of the environment.
std::vector<std::string> environment_of_programs() {
  std::vector<std::string> environment{"LC_ALL=C"};
  for (const char* name : {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"}) {
    const std::string value = variable(name);
    if (!value.empty()) environment.push_back(std::string(name) + "=" + value);
  }
  return environment;
}

/// Those that the process may be scheduled on: a container's --cpuset-cpus, taskset.
int allowed_cpus() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
  return static_cast<int>(std::thread::hardware_concurrency());
}

/// The dynamic loader itself, told by its variable to list and not to run.
std::vector<std::string> library_lister() {
  for (const char* path : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"}) {
    if (::access(path, X_OK) == 0) return {"/usr/bin/env", "LD_TRACE_LOADED_OBJECTS=1", path};
  }
  return {};
}

}  // namespace

HostSystem this_system() {
  HostSystem machine{.path = folders_of(variable("PATH")),
                     .environment = environment_of_programs(),
                     .cupti_names = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"},
                     .library_lister = library_lister(),
                     .best_isa = cpu::best_isa(),
                     .cpus = allowed_cpus()};
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string home = variable(name); !home.empty()) machine.cuda_homes.push_back(home);
  }
  return machine;
}

}  // namespace thermoe::doctor
