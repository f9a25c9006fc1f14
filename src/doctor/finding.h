// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/program_search.h"

namespace thermoe::doctor {

/// How it stands with one thing that was looked for.
enum class Status {
  kFound,
  kMissing,       ///< not there
  kBroken,        ///< there, and of no use as it is
  kNotPermitted,  ///< there, and this process may not use it
  kUnknown,       ///< could not be told
};

/// "found", "missing", "broken", "not_permitted" or "unknown": the words of the JSON.
const char* to_string(Status status);

/// What a probe says of one thing.
struct Finding {
  std::string id{};     ///< stable and dotted, "nvml.library"; docs/doctor.md lists them
  std::string title{};  ///< for people
  Status status = Status::kUnknown;
  std::string value{};    ///< what was found, in a few words; empty where nothing was
  std::string detail{};   ///< more about it, or why it is not as it should be
  std::string enables{};  ///< what works with it and does not without
  /// What to do if it is not found; lines starting with "$ " are commands to copy.
  std::string remedy{};
  bool needed = false;  ///< simulated runs and the CPU kernels cannot do without

  bool found() const { return status == Status::kFound; }
};

/// Found as "version (path)", or broken with the reason. Returns the version.
std::optional<std::string> take_version(const VersionAnswer& answer, const std::string& program,
                                        Finding& finding);

/// Findings that are shown under one heading.
struct Section {
  std::string title{};
  std::vector<Finding> findings{};
};

/// The finding with this id, or nullptr.
const Finding* find(const std::vector<Section>& sections, const std::string& id);

}  // namespace thermoe::doctor
