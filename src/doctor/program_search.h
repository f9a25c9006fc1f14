// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// The folders that match `pattern`, whose components may end in '*', under the machine's root; the
/// highest version first.
std::vector<std::string> folders_like(const HostSystem& machine, const std::string& pattern);

/// The first of `names` that may be executed, on PATH and then in `folders`.
std::optional<std::string> find_program(const HostSystem& machine,
                                        const std::vector<std::string>& names,
                                        const std::vector<std::string>& folders);

/// How a program states its version.
struct VersionQuestion {
  std::string argument = "--version";
  std::string before{};  ///< the version is the first after this text; empty: the first of all
};

/// Asks a program for its version and fills in `finding`: found with "version (path)", or broken
/// with the reason. Returns the version.
std::optional<std::string> ask_version(const HostSystem& machine, const std::string& program,
                                       const VersionQuestion& question, Finding& finding);

}  // namespace thermoe::doctor
