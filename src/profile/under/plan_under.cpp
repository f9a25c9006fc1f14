// SPDX-License-Identifier: Apache-2.0
#include "profile/under/plan_under.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "core/errors.h"
#include "cost/kernel_cost_model.h"
#include "profile/under/nsys_command.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kAnswer{20000};  // of a tool that starts from a cold disk

const char* path_flag(Profiler profiler) {
  return profiler == Profiler::kNsys ? "--nsys-path" : "--ncu-path";
}

/// The tool, which answered; its version is told.
std::string working_tool(const UnderRequest& request, const ProgramPlaces& places,
                         const Tell& tell) {
  const ProfilerFacts& facts = facts_of(request.profiler);
  if (request.tool && !is_program(*request.tool)) {
    throw UsageError(fmt::format("{} {}: is no program that can be run here",
                                 path_flag(request.profiler), *request.tool));
  }
  const auto program = request.tool ? request.tool : find_profiler(places, request.profiler);
  if (!program) {
    throw UsageError(fmt::format(
        "no {} on PATH, nor in {}: name it with {}, or {}. Without --with, thermoe profile times "
        "kernels by itself",
        facts.program, facts.looked_in, path_flag(request.profiler), in_one_line(facts.remedy)));
  }
  const VersionAnswer answer = ask_profiler_version(places, request.profiler, *program);
  if (!answer.version) {
    throw UsageError(
        fmt::format("{} does not work: {}; {}", *program, answer.fault, in_one_line(facts.remedy)));
  }
  tell(fmt::format("{} {} ({})", facts.title, *answer.version, *program));
  return *program;
}

/// The first name that no file in the folder begins with: reports of earlier runs stay.
std::string free_base(const UnderRequest& request) {
  const std::string word = facts_of(request.profiler).program;
  for (int number = 1;; ++number) {
    const std::string name = fmt::format("{}-{}", word, number);
    std::error_code ignored;
    fs::directory_iterator entry(request.folder, ignored);
    const bool taken = std::any_of(begin(entry), end(entry), [&](const fs::directory_entry& file) {
      const std::string other = file.path().filename().string();
      return other.starts_with(name + ".") || other.starts_with(name + "-");
    });
    if (!taken) return (fs::path(request.folder) / name).string();
  }
}

ToolPlan plan_for(const UnderRequest& request, const ProgramPlaces& places,
                  const std::string& program, const std::string& base, const Tell& tell) {
  if (request.profiler == Profiler::kNcu) {
    return plan_ncu(
        {.program = program, .base = base, .replay = request.replay, .child = request.child});
  }
  if (const std::string why = why_no_sqlite(places, program); !why.empty()) {
    throw UsageError(
        fmt::format("{} cannot export to SQLite ({}): {}", program, why, kCurrentNsys));
  }
  NsysRequest nsys{.program = program, .base = base, .child = request.child};
  if (request.gpu_metrics) {
    const GpuMetricsAnswer answer = ask_gpu_metrics(places, program);
    nsys.gpu_metrics = answer.option;
    if (!answer.option) tell(fmt::format("nsys samples no GPU counters: {}", answer.why_not));
  }
  return plan_nsys(nsys);
}

void check(const UnderRequest& request) {
  THERMOE_EXPECT(!request.child.empty(), "a child needs a command");
  if (request.profiler == Profiler::kNcu && request.cost_model) {
    throw UsageError(
        "--with ncu fills no cost model: ncu runs kernels alone and again, so its durations are no "
        "latencies; leave --cost-model out, or use --with nsys");
  }
  // Known now, not after minutes of profiling.
  if (request.cost_model) KernelCostModel::load(*request.cost_model);
  // Both tools take it for the begin of a macro.
  if (request.folder.find('%') != std::string::npos) {
    throw UsageError(fmt::format("the folder {}: has a %, which {} would replace; name another",
                                 request.folder, facts_of(request.profiler).program));
  }
}

}  // namespace

ToolPlan plan_under(const UnderRequest& request, const ProgramPlaces& places, const Tell& tell) {
  check(request);
  ProgramPlaces patient = places;
  patient.patience = std::max(patient.patience, kAnswer);
  const std::string program = working_tool(request, patient, tell);
  return plan_for(request, patient, program, free_base(request), tell);
}

}  // namespace thermoe
