// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.h"
#include "core/units.h"
#include "monitor/series.h"

namespace thermoe {

/// A GPU as the view shows it. Times are of the clock that stamped the readings.
struct GpuView {
  std::string label{};  ///< "GPU 0"
  GpuReading reading{};
  Seconds now{};                       ///< ages count from here
  std::optional<Seconds> stale_for{};  ///< nothing new since, longer than a poll may take
  std::optional<Watts> cap{};          ///< a run's target; otherwise power stands against its limit
  Series power{};                      ///< average, or instant where there is none
  Series temperature{};
};

/// A run's controller, from the newest row of its metrics.csv.
struct RunView {
  enum class State { kWaiting, kRunning, kFinished };
  State state = State::kWaiting;
  std::string folder{};
  std::string waiting_for{};  ///< the file, while waiting
  std::string experiment{};
  bool simulated = false;
  std::string strategy{};   ///< "BASELINE"; "BASELINE #2" in the second round
  int strategy_number = 0;  ///< counted from 1; 0 = unknown, and in a run of several rounds
  int strategies = 0;
  int rounds = 1;
  Seconds at{};
  std::optional<Seconds> duration{};
  std::optional<Seconds> quiet_for{};  ///< since the last new row, when that is long
  std::optional<double> lambda{}, active_experts{}, kept_mass{}, bits_per_byte{};
  std::optional<Watts> power_target{}, power_predicted{}, power_sensor{};
  std::optional<Celsius> temperature_target{};
  std::optional<Seconds> step_time{}, step_target{};
  std::string fallback{};  ///< empty while in control
  bool at_floor = false;
  bool violation = false;
  Series lambda_series{};
  Series active_series{};
};

/// One source of telemetry and how it does.
struct FeedView {
  std::string label{};                  ///< "NVML"
  bool optional = false;                ///< looked for unasked: its absence is no matter
  bool answered = false;                ///< ever
  std::optional<std::string> error{};   ///< why the last poll failed
  std::optional<Seconds> silent_for{};  ///< a poll is under way for this long
  bool ended = false;                   ///< a recording played to its end
  std::vector<std::string> problems{};  ///< what the source says is amiss, a sentence each
};

/// Everything that a frame shows.
struct MonitorView {
  std::string source{};  ///< "NVML + host", "simulated"
  std::string time{};    ///< of day; empty: not shown
  bool keys = false;     ///< the program listens: say which keys
  int scroll = 0;        ///< lines that were scrolled past, where not all fit
  bool simulated = false;
  std::string selection{};  ///< "2 of 8 GPUs (--gpu)"; empty where all are shown
  std::vector<FeedView> feeds{};
  std::vector<GpuView> gpus{};
  std::vector<HostReading> host{};
  std::optional<Seconds> host_stale_for{};
  std::optional<RunView> run{};
};

}  // namespace thermoe
