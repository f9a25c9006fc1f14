// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// Where programs are looked for, and how they are run to be asked something. Tests point it at a
/// tree of their own.
struct ProgramPlaces {
  std::string root{};                        ///< before /proc, /sys, /dev, /opt and /usr
  std::vector<std::string> path{};           ///< folders of PATH
  std::vector<std::string> cuda_homes{};     ///< CUDA_HOME and CUDA_PATH
  std::vector<std::string> environment{};    ///< "NAME=value"; nothing else is inherited
  std::chrono::milliseconds patience{5000};  ///< with each program

  /// A path of the machine as seen from here.
  std::string at(const std::string& absolute) const { return root + absolute; }
};

/// Those of this process. Programs get what they need to start and nothing else of its environment.
ProgramPlaces own_program_places();

/// The folders that match `pattern`, whose components may end in '*', under the places' root; the
/// highest version first.
std::vector<std::string> folders_like(const ProgramPlaces& places, const std::string& pattern);

/// `below` in each folder where a CUDA toolkit may be, the likeliest first.
std::vector<std::string> cuda_folders(const ProgramPlaces& places, const std::string& below);

/// Whether this process may execute the file.
bool is_program(const std::string& path);

/// The first of `names` that may be executed, on PATH and then in `folders`.
std::optional<std::string> find_program(const ProgramPlaces& places,
                                        const std::vector<std::string>& names,
                                        const std::vector<std::string>& folders);

/// How a program states its version.
struct VersionQuestion {
  std::string argument = "--version";
  std::string before{};  ///< the version is the first after this text; empty: the first of all
};

/// What came of asking.
struct VersionAnswer {
  std::optional<std::string> version{};
  std::string fault{};  ///< why there is none, for people
};

VersionAnswer ask_version(const ProgramPlaces& places, const std::string& program,
                          const VersionQuestion& question);

}  // namespace thermoe
