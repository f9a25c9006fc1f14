// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/program_search.h"

namespace thermoe {

/// NVIDIA's profilers that a program runs under.
enum class Profiler { kNsys, kNcu };

/// What people know of one.
struct ProfilerFacts {
  const char* program = "";    ///< "nsys"
  const char* title = "";      ///< "Nsight Systems"
  const char* looked_in = "";  ///< beside PATH, for people
  const char* remedy = "";  ///< where there is none; lines starting with "$ " are commands to copy
};

const ProfilerFacts& facts_of(Profiler profiler);

/// Its path: on PATH, else the newest in the folders where its packages and CUDA toolkits put it.
std::optional<std::string> find_profiler(const ProgramPlaces& places, Profiler profiler);

VersionAnswer ask_profiler_version(const ProgramPlaces& places, Profiler profiler,
                                   const std::string& program);

/// Why this nsys does not export to SQLite; empty if it does.
std::string why_no_sqlite(const ProgramPlaces& places, const std::string& nsys);
extern const char* const kCurrentNsys;  ///< the remedy

/// A remedy within a sentence, its commands between backticks.
std::string in_one_line(std::string_view remedy);

/// Who may read the GPU's performance counters, and how an administrator lets everybody: the remedy
/// for ERR_NVGPUCTRPERM, in lines as above.
extern const char* const kOpenCounters;

}  // namespace thermoe
