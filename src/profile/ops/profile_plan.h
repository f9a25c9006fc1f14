// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "profile/ops/profile_points.h"

namespace thermoe {

/// Weights of one layer beyond which a point is not profiled.
inline constexpr double kMostWeightBytes = 40e9;

/// How long things take; expected times follow from these and from a point's traffic.
struct ProfileTiming {
  int executions = 64;   ///< timed of each point
  int warm_up = 8;       ///< executions before them
  Seconds window{5.8};   ///< an anchor's energy; what counts of it, behind its settling, is 5 s
  Seconds idle{2.5};     ///< before each window and after the last
  Seconds prepare{0.4};  ///< expected for an anchor, beside the making of its weights
  Seconds thermal{};     ///< of the step response, all of it; 0: none
  Seconds strain{};      ///< of the work at the limit, all of it; 0: none

  /// Of an anchor, the idle window before it included.
  Seconds anchor() const { return prepare + idle + window; }
};

struct PlanRequest {
  std::vector<ProfilePoint> points{};  ///< in the order in which they are to be timed
  Backend backend = Backend::kCpu;
  ProfileTiming timing{};
  int anchors = 0;              ///< most points whose energy is measured; 0: none
  double repeated_share = 0.0;  ///< of the points, timed a second time
  std::uint64_t seed = 1;
  std::optional<Seconds> budget{};  ///< absent: as long as it takes
  /// Names of what a former run of the same folder has: it takes no time.
  std::vector<std::string> timed{};
  std::vector<std::string> repeated{};
  std::vector<std::string> with_energy{};
  bool thermal_done = false;
  bool strain_done = false;
};

/// A point, or a group of them, that is not run, and why.
struct LeftOut {
  std::string what{};
  std::string why{};
};

struct ProfilePlan {
  std::vector<ProfilePoint> time{};    ///< to be timed, in their order
  std::vector<ProfilePoint> repeat{};  ///< to be timed again, behind all others
  std::vector<ProfilePoint> energy{};  ///< anchors still to be measured, in an order by seed
  bool thermal = false;
  bool strain = false;
  int done = 0;  ///< points and anchors that are there already
  Seconds expected{};
  std::vector<LeftOut> left_out{};
};

/// Of timing a point, with the making of its weights, on an ordinary machine: for plans only.
Seconds expected_time(Backend backend, const OpPoint& point, const ProfileTiming& timing);
/// Of an anchor: its weights are made anew, as anchors come in an order of their own.
Seconds expected_energy(Backend backend, const OpPoint& point, const ProfileTiming& timing);

/// Why a point's weights are too large to be profiled; nothing where they are not.
std::optional<std::string> size_problem(const OpPoint& point);

/// What runs, what is there already, and what is left out: points that the backend lacks or whose
/// weights are too large; then, where there is a budget, what does not fit behind what does. Times
/// come first, then energies, then the step response, then the strain. Pure: the same for the same
/// request.
ProfilePlan plan_profile(const PlanRequest& request);

/// For --list.
std::string to_text(const ProfilePlan& plan, Backend backend, const ProfileTiming& timing);

}  // namespace thermoe
