// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "machine/calibration/imposed_step.h"
#include "machine/calibration/timed_load.h"
#include "machine/gpu/paced_steps.h"

namespace thermoe {
namespace {

constexpr Seconds kRedraw{0.25};  // between two stagings of other experts
constexpr Seconds kLook{0.005};   // between two looks at monitor and stop
constexpr Seconds kSilence{5.0};  // longest between two polls
constexpr std::size_t kPollsWithoutEnergy = 3;

void rest(Seconds time) {
  std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, time.value)));
}

std::string complaint(const GpuSystemMonitor& monitor, const std::string& otherwise) {
  return "calibration: " + monitor.error().value_or(otherwise);
}

}  // namespace

struct CalibrationRun::Parts {
  Parts(const CalibrationBench& with, const CalibrationSteps& of)
      : bench(with),
        model(of),
        random(of.seed),
        timed(with.load, with.clock),
        began(with.clock.now()),
        steps(timed, of.router, with.clock) {}

  void await_energy();
  void keep_snapshot();
  void stage(const CalibrationWindow& window);
  bool wait(const CalibrationWindow& window, Seconds until);

  const CalibrationBench bench;
  const CalibrationSteps model;
  std::mt19937_64 random;
  TimedLoad timed;
  const Seconds began;
  std::vector<Snapshot> snapshots{};
  std::uint64_t version = 0;
  std::optional<Seconds> staged_at{};
  PacedSteps steps;  // last: its thread ends before anything else goes
};

void CalibrationRun::Parts::keep_snapshot() {
  Snapshot snapshot = bench.monitor.latest();
  const bool news = snapshot.at > (snapshots.empty() ? Seconds(0.0) : snapshots.back().at);
  if (news) snapshots.push_back(std::move(snapshot));
  const Seconds heard = snapshots.empty() ? began : snapshots.back().at;
  if (bench.clock.now() - heard > kSilence) {
    throw TelemetryError(complaint(
        bench.monitor, fmt::format("the GPU's sensors have said nothing for {:.0f} s; see that "
                                   "its driver answers (thermoe doctor)",
                                   kSilence.value)));
  }
}

void CalibrationRun::Parts::await_energy() {
  while (snapshots.empty()) {
    if (bench.monitor.error()) throw TelemetryError(complaint(bench.monitor, ""));
    keep_snapshot();
    rest(kLook);
  }
  const auto gpus = snapshots.back().gpus.size();
  if (gpus != 1) {
    throw UsageError(fmt::format(
        "calibration: the sensors show {} GPUs, and must show the one that works and no other",
        gpus));
  }
  while (!snapshots.back().gpus.front().energy.value) {
    if (snapshots.size() >= kPollsWithoutEnergy) {
      throw UsageError(fmt::format(
          "calibration: {} has no energy counter, which joules are measured with (NVML's total "
          "energy consumption, from Volta on); run with a cost model that was measured on such a "
          "GPU instead",
          snapshots.back().gpus.front().name));
    }
    keep_snapshot();
    rest(kLook);
  }
}

void CalibrationRun::Parts::stage(const CalibrationWindow& window) {
  steps.stage(imposed_step(model.router,
                           {.layers = model.layers,
                            .tokens = model.tokens,
                            .active = window.active,
                            .variant = window.variant,
                            .version = ++version},
                           random));
  staged_at = bench.clock.now();
}

bool CalibrationRun::Parts::wait(const CalibrationWindow& window, Seconds until) {
  for (Seconds now = bench.clock.now(); now < until; now = bench.clock.now()) {
    if (bench.stop.load(std::memory_order_relaxed)) return false;
    steps.take_tally();  // throws what ended the steps
    keep_snapshot();
    if (!window.idle() && now - *staged_at >= kRedraw) stage(window);
    rest(std::min(kLook, until - now));
  }
  return true;
}

CalibrationRun::CalibrationRun(const CalibrationBench& bench, const CalibrationSteps& steps)
    : parts_(std::make_unique<Parts>(bench, steps)) {
  parts_->await_energy();
}

CalibrationRun::~CalibrationRun() = default;

std::optional<CalibrationStretch> CalibrationRun::run(const CalibrationWindow& window) {
  CalibrationStretch stretch{.window = window};
  if (window.idle()) {
    parts_->steps.pause();
    stretch.from = parts_->bench.clock.now();
  } else {
    parts_->steps.set_period(window.period);
    stretch.from = parts_->bench.clock.now();  // before its first step may begin
    parts_->stage(window);
  }
  if (!parts_->wait(window, stretch.from + window.length)) return std::nullopt;
  stretch.to = parts_->bench.clock.now();
  return stretch;
}

Seconds CalibrationRun::step_time(const CalibrationStretch& stretch) const {
  std::vector<Seconds> times;
  for (const TimedStep& step : parts_->timed.steps()) {
    if (stretch.from <= step.began && step.began <= stretch.to) times.push_back(step.device_time);
  }
  if (times.empty()) {
    throw Error(fmt::format("calibration: no step ended within {:.1f} s of the warm-up",
                            stretch.window.length.value));
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

CalibrationRecord CalibrationRun::end(std::vector<CalibrationStretch> stretches) {
  parts_->steps.pause();
  parts_->steps.take_tally();
  return {.stretches = std::move(stretches),
          .steps = parts_->timed.steps(),
          .snapshots = std::move(parts_->snapshots),
          .taken = parts_->bench.clock.now() - parts_->began};
}

}  // namespace thermoe
