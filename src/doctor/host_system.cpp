// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <unistd.h>

#include <thread>

#include "doctor/host_system.h"

namespace thermoe::doctor {
namespace {

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
  HostSystem machine;
  static_cast<ProgramPlaces&>(machine) = own_program_places();
  machine.cupti_names = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};
  machine.library_lister = library_lister();
  machine.best_isa = cpu::best_isa();
  machine.cpus = allowed_cpus();
  return machine;
}

}  // namespace thermoe::doctor
