// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// Something that people want to do, and whether it can be done here and now.
struct Ability {
  std::string id{};     ///< "simulated_runs"
  std::string title{};  ///< "simulated runs and CPU kernels"
  bool possible = false;
  std::string reason{};  ///< "AVX-512 path"; why not, if it is not possible
};

/// All that was found.
struct Diagnosis {
  std::vector<Section> sections{};
  std::vector<Ability> abilities{};
  /// The driver hangs and holds a thread of this process: end it by `exit_leaving_threads`.
  bool thread_left_behind = false;

  /// Whether everything that simulated runs and the CPU kernels need is there. `unknown` is no
  /// failure: a sandbox that hides /proc is not broken.
  bool healthy() const;
};

/// Looks for everything. Takes a second or two where profilers are asked for their versions.
Diagnosis diagnose(const HostSystem& machine);

/// What follows from findings.
std::vector<Ability> abilities(const std::vector<Section>& sections);

}  // namespace thermoe::doctor
