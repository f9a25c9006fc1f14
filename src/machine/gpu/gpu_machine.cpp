// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/gpu_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "machine/gpu/gpu_truth.h"
#include "machine/gpu/paced_steps.h"

namespace thermoe {
namespace {

/// The counter takes milliseconds to read, and no controller needs it.
constexpr Seconds kEnergyPeriod{1.0};

/// Stands at 0 until it is started. Safe to read from any thread.
class StartedClock final : public Clock {
 public:
  explicit StartedClock(const Clock& real) : real_(real) {}
  Seconds now() const override {
    return std::max(Seconds(0), real_.now() - Seconds(start_.load(std::memory_order_acquire)));
  }
  WallTime wall_time() const override { return real_.wall_time(); }
  void start(Seconds real_now) { start_.store(real_now.value, std::memory_order_release); }

 private:
  const Clock& real_;
  std::atomic<double> start_{std::numeric_limits<double>::infinity()};
};

void check(const GpuMachineOptions& options) {
  THERMOE_EXPECT(options.open_source != nullptr, "GpuMachine needs sensors");
  THERMOE_EXPECT(options.decode_steps_per_tick >= 1, "decode steps a tick {} must be at least 1",
                 options.decode_steps_per_tick);
  for (const Disturbance& d : options.disturbances) {
    if (d.kind == Disturbance::Kind::kAmbient) {
      throw UsageError(fmt::format(
          "the ambient disturbance from {} s to {} s: this machine cannot warm a real GPU's air; "
          "leave it out, or run on the simulated machine",
          d.from.value, d.to.value));
    }
    if (d.kind == Disturbance::Kind::kBackground && options.tenant == nullptr) {
      throw UsageError(fmt::format(
          "the background disturbance from {} s to {} s: there is no other tenant on this GPU; "
          "start one, leave it out, or run on the simulated machine",
          d.from.value, d.to.value));
    }
  }
}

}  // namespace

struct GpuMachine::Parts {
  explicit Parts(GpuMachineOptions with)
      : options(std::move(with)),
        truth(options.open_source(Seconds(0)), real, options.truth_period),
        steps(options.load, options.router, clock) {}

  void begin();
  void follow_disturbances();
  void decode(Seconds until, const NextStep& next);
  void sleep_until(Seconds until) const;
  StepTally tally();
  TickReport report(Seconds period);

  const GpuMachineOptions options;
  const SteadyClock real{};
  StartedClock clock{real};
  GpuTruth truth;
  std::optional<Seconds> ended{};  // last tick, in real's time; empty before the first
  Seconds last_until{};
  bool tenant_works = false;
  Seconds step_time{};  // last known
  Seconds step_period{};
  PacedSteps steps;  // last: ends first
};

void GpuMachine::Parts::begin() {
  if (ended) return;
  ended = real.now();
  clock.start(*ended);
}

void GpuMachine::Parts::follow_disturbances() {
  const GpuDisturbance now = disturbance_at(options.disturbances, clock.now());
  const bool works = now.background_power > Watts(0) || now.bandwidth_share > 0.0;
  if (works == tenant_works) return;
  options.tenant->set_working(works);
  tenant_works = works;
}

void GpuMachine::Parts::sleep_until(Seconds until) const {
  for (Seconds left = until - clock.now(); left > Seconds(0); left = until - clock.now()) {
    std::this_thread::sleep_for(std::chrono::duration<double>(left.value));
  }
}

// No lock is held while `next` decodes: steps, sensors and controller go on.
void GpuMachine::Parts::decode(Seconds until, const NextStep& next) {
  const Seconds begin = clock.now();
  const int n = options.decode_steps_per_tick;
  for (int i = 0; i < n; ++i) {
    if (i > 0) {
      sleep_until(begin + (static_cast<double>(i) / n) * (until - begin));
      if (clock.now() >= until) return;
    }
    const StepLoads step = next(std::nullopt);
    steps.stage({.plan = step.plan, .step = step.stats.step, .sample = step.sample});
  }
}

StepTally GpuMachine::Parts::tally() {
  try {
    return steps.take_tally();
  } catch (const std::exception& e) {
    throw Error(fmt::format("the steps on the GPU ended {:.1f} s into the run: {}",
                            clock.now().value, e.what()));
  }
}

TickReport GpuMachine::Parts::report(Seconds period) {
  const StepTally done = tally();
  const Seconds now = real.now();
  GpuTruth::Stretch stretch = truth.between(*ended, now);
  const Seconds length = now - *std::exchange(ended, now);
  if (done.steps > 0) step_time = done.busy / static_cast<double>(done.steps);
  if (step_period == Seconds(0)) step_period = period;
  if (done.spaced > 0) step_period = done.spacing / static_cast<double>(done.spaced);
  return {.step_time = step_time,
          .step_period = std::max(step_time, step_period),
          .steps = static_cast<double>(done.steps),
          .length = length,
          .late = done.late,
          .repeated = done.repeated,
          .near_ties = done.near_ties,
          .truth = stretch.hardware,
          .problem = std::move(stretch.problem)};
}

GpuMachine::GpuMachine(GpuMachineOptions options)
    : parts_((check(options), std::make_unique<Parts>(std::move(options)))) {}

GpuMachine::~GpuMachine() {
  if (!parts_->tenant_works) return;
  try {
    parts_->options.tenant->set_working(false);
  } catch (const Error&) {  // it has ended by itself
    return;
  }
}

const Clock& GpuMachine::clock() const { return parts_->clock; }

std::unique_ptr<Source> GpuMachine::open_sensors() {
  std::unique_ptr<Source> source = parts_->options.open_source(kEnergyPeriod);
  std::vector<SensorFault> faults = sensor_faults(parts_->options.disturbances);
  if (faults.empty()) return source;
  return std::make_unique<FaultySource>(std::move(source), std::move(faults));
}

TickReport GpuMachine::run_tick(Seconds until, Seconds period, const NextStep& next) {
  Parts& parts = *parts_;
  THERMOE_EXPECT(until > parts.last_until, "a tick until {} s after one until {} s", until.value,
                 parts.last_until.value);
  parts.last_until = until;
  parts.begin();
  parts.follow_disturbances();
  parts.steps.set_period(period);
  parts.decode(until, next);
  parts.sleep_until(until);
  return parts.report(period);
}

}  // namespace thermoe
