// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cost/expert_shape.h"
#include "profile/ops/profile_plan.h"
#include "profile/record/measured_costs.h"
#include "profile/record/profile_machine.h"

namespace thermoe {

/// Names of what a folder holds.
inline constexpr const char* kRecordsFile = "records.jsonl";
inline constexpr const char* kProfileFile = "profile.json";
inline constexpr const char* kCostModelFile = "kernel_cost_model.json";

struct ProfileRequest {
  std::string out{};  ///< folder, made where it is missing; its records are gone on with
  std::vector<ProfilePoint> points{};
  ProfileTiming timing{};
  int anchors = 0;              ///< 0: no energy
  double repeated_share = 0.0;  ///< of the points
  std::optional<Seconds> budget{};
  std::vector<ExpertShape> models{};  ///< to be named in the cost model
  std::string merge_into{};           ///< a cost model that gets the tables too; empty: none
};

/// Where a profile runs, and how it lets time pass.
struct ProfileBench {
  ProfileMachine& machine;
  const Clock& clock;
  std::function<void(Seconds)> rest{};
  const std::atomic<bool>& stop;
  /// Hears of everything that is about to be measured: done and all of it in expected time.
  std::function<void(std::string_view what, Seconds done, Seconds of)> progress{};
};

struct ProfileResult {
  ProfileRecords records{};
  MeasuredCosts costs{};
  std::vector<std::string> notes{};         ///< what was left out or could not be measured, and why
  bool complete = false;                    ///< all that was planned, the budget's leavings aside
  std::optional<std::string> cost_model{};  ///< path, where one was written
};

/// What a run of this request would do, given what its folder has.
ProfilePlan plan_of(const ProfileRequest& request, const ProfileFacts& facts, Backend backend);

/// Measures what is planned, appending each result as it comes; then writes the folder's profile
/// (`thermoe parse --json`'s form) and, where energy was measured, its cost model. Stopped, it ends
/// behind the execution in hand and writes what there is. Throws UsageError, FormatError,
/// WriteError for the folder and its files, CudaError, TelemetryError where the device fails; the
/// records are then as far as they came.
ProfileResult run_profile(const ProfileRequest& request, const ProfileBench& bench);

/// Measures nothing: writes the same files from the records that `request.out` has, on any machine.
/// Only `out`, `models` and `merge_into` are read. Throws UsageError, FormatError, WriteError.
ProfileResult profile_files(const ProfileRequest& request);

/// For the terminal: a line a point, with what it reached, and the notes.
std::string to_text(const ProfileResult& result);

}  // namespace thermoe
