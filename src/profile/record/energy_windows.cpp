// SPDX-License-Identifier: Apache-2.0
#include "profile/record/energy_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "profile/record/sensed_device.h"

namespace thermoe {
namespace {

constexpr Seconds kPoll{0.05};
constexpr Seconds kSettle{0.8};  // of a window: counters and clocks lag behind the work
constexpr double kFewestChanges = 3;

/// A window's mean power, and how the device stood at its end.
struct WindowPower {
  Watts power{};
  DeviceState state{};
};

/// Slope of the energy counter over the polls in which it changed, behind the settling.
class CounterSlope {
 public:
  explicit CounterSlope(Seconds from) : from_(from) {}

  void add(Seconds at, const SensedDevice& device) {
    state_ = device.state;
    if (!device.energy) return;
    if (first_ && device.energy_gaps != gaps_) began_anew_ = true;
    gaps_ = device.energy_gaps;
    const bool changed = last_ && *device.energy != *last_;
    last_ = device.energy;
    if (!changed || at < from_) return;
    if (!first_) first_ = device.energy;
    const double t = (at - from_).value, e = (*device.energy - *first_).value;
    n_ += 1, st_ += t, se_ += e, stt_ += t * t, ste_ += t * e;
  }

  WindowPower result(const std::string& what) const {
    if (began_anew_ || n_ < kFewestChanges) {
      throw TelemetryError(fmt::format(
          "profile: the energy counter {} during {}: see that the device and its driver answer "
          "(thermoe monitor), and repeat the command",
          began_anew_ ? "began anew" : fmt::format("changed {:.0f} times", n_), what));
    }
    return {Watts((n_ * ste_ - st_ * se_) / (n_ * stt_ - st_ * st_)), state_};
  }

 private:
  Seconds from_;
  std::uint64_t gaps_ = 0;
  bool began_anew_ = false;
  std::optional<Joules> last_{}, first_{};
  double n_ = 0, st_ = 0, se_ = 0, stt_ = 0, ste_ = 0;
  DeviceState state_{};
};

class Windows {
 public:
  explicit Windows(const EnergyBench& bench) : bench_(bench) {}

  /// Nothing if it was stopped.
  std::optional<WindowPower> idle(Seconds length) {
    return window(length, "an idle window", [&] {
      poll();
      bench_.rest(kPoll);
    });
  }

  /// The same; `executions` and `time` are of the whole window.
  std::optional<WindowPower> work(Seconds length, const SustainedWork& work, const OpPoint& point,
                                  std::int64_t& executions, Seconds& time) {
    const Seconds from = bench_.clock.now();
    executions = 0;
    auto power = window(length, to_string(point), [&] {
      executions += work([&] { poll(); });
      time = bench_.clock.now() - from;
    });
    return power;
  }

 private:
  template <class Step>
  std::optional<WindowPower> window(Seconds length, const std::string& what, const Step& step) {
    const Seconds from = bench_.clock.now();
    slope_ = CounterSlope(from + kSettle);
    while (bench_.clock.now() < from + length) {
      if (bench_.stop) return std::nullopt;
      step();
    }
    return slope_.result(what);
  }

  void poll() {
    const Snapshot snapshot = bench_.sensors.read(bench_.clock.now());
    slope_.add(bench_.clock.now(), sensed_device(snapshot));
  }

  const EnergyBench& bench_;
  CounterSlope slope_{Seconds(0)};
};

}  // namespace

std::optional<std::string> energy_problem(const EnergyBench& bench) {
  constexpr int kTries = 40;
  try {
    for (int i = 0; i < kTries && !bench.stop; ++i) {
      if (sensed_device(bench.sensors.read(bench.clock.now())).energy) return std::nullopt;
      bench.rest(kPoll);
    }
  } catch (const TelemetryError& error) {
    return error.what();
  }
  return "the device has no energy counter that can be read here; `thermoe doctor` says more";
}

void measure_energies(std::span<const ProfilePoint> anchors, const ProfileTiming& timing,
                      const EnergyBench& bench,
                      const std::function<void(const EnergyRecord&)>& done) {
  Windows windows(bench);
  std::optional<EnergyRecord> waiting;
  std::optional<WindowPower> idle_before;
  for (std::size_t i = 0; i <= anchors.size(); ++i) {
    SustainedWork work;
    if (i < anchors.size()) work = bench.prepare(anchors[i].point);
    const auto idle = windows.idle(timing.idle);
    if (!idle) return;
    if (waiting) {
      const Watts before = idle_before->power;
      waiting->idle = 0.5 * (before + idle->power);
      const Watts above = waiting->power() - waiting->idle;
      waiting->idle_change = std::abs((idle->power - before) / (2.0 * above));
      done(*waiting);
      waiting.reset();
    }
    if (i == anchors.size()) return;
    idle_before = idle;
    std::int64_t executions = 0;
    Seconds time{};
    const auto power = windows.work(timing.window, work, anchors[i].point, executions, time);
    if (!power) return;
    const Seconds counted = time - kSettle;
    waiting = {.point = anchors[i].point,
               .turn = static_cast<int>(i),
               .window = counted,
               .executions = static_cast<double>(executions) * (counted / time),
               .gross = power->power * counted,
               .state = power->state};
  }
}

std::optional<ThermalRecord> measure_step_response(const OpPoint& point, Seconds length,
                                                   const EnergyBench& bench) {
  constexpr double kRest = 0.15, kWork = 0.6;  // the remainder: rest
  const SustainedWork work = bench.prepare(point);
  ThermalRecord record{.point = point};
  const Seconds from = bench.clock.now();
  Seconds next = from;
  const auto poll = [&] {
    const Seconds now = bench.clock.now();
    if (now < next) return;
    next = now + Seconds(0.1);
    const SensedDevice device = sensed_device(bench.sensors.read(now));
    if (!device.power || !device.state.temperature) {
      throw TelemetryError(
          "profile --thermal: the device says no power or temperature; see thermoe monitor");
    }
    record.samples.push_back({now - from, *device.power, *device.state.temperature});
  };
  while (bench.clock.now() - from < length) {
    if (bench.stop) return std::nullopt;
    const double share = (bench.clock.now() - from) / length;
    if (share >= kRest && share < kRest + kWork) {
      work(poll);
    } else {
      poll();
      bench.rest(kPoll);
    }
  }
  return record;
}

}  // namespace thermoe
