// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/tenant_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

using Kind = TenantWork::Kind;

constexpr int kTimed = 31;           // bursts of each kind that a unit's time is the median of
constexpr int kUnitsTimed = 4;       // in each
constexpr double kLateShare = 0.1;   // of a period
constexpr int kMostWarmUp = 100000;  // units, whatever the clock says

Seconds unit_time(TenantWork& work, Kind kind) {
  std::vector<Seconds> times;
  for (int i = 0; i < kTimed; ++i) times.push_back(work.run(kind, kUnitsTimed) / kUnitsTimed);
  std::ranges::nth_element(times, times.begin() + kTimed / 2);
  return times[kTimed / 2];
}

/// The cycle's options less the duty: units are timed on a device that has warmed up.
DutyCycleOptions timed_units(TenantWork& work, const Clock& clock,
                             const TenantLoadOptions& options) {
  const Seconds end = clock.now() + options.warm_up;
  for (int i = 0; i < kMostWarmUp && clock.now() < end; ++i) {
    work.run(i % 2 == 0 ? Kind::kProducts : Kind::kCopies, 1);
  }
  const DutyCycleOptions timed{.products_share = options.products_share,
                               .products_unit = unit_time(work, Kind::kProducts),
                               .copies_unit = unit_time(work, Kind::kCopies)};
  const Seconds longest = std::max(timed.products_unit, timed.copies_unit);
  if (longest > timed.longest_burst) {
    throw UsageError(fmt::format(
        "the GPU is too slow, or busy: a unit of work takes {:.2f} ms, and a burst may last {:g} "
        "ms; end what else runs on it",
        1e3 * longest.value, 1e3 * timed.longest_burst.value));
  }
  return timed;
}

}  // namespace

TenantTally operator-(TenantTally tally, const TenantTally& earlier) {
  tally.working -= earlier.working;
  tally.busy -= earlier.busy;
  tally.bursts -= earlier.bursts;
  tally.late -= earlier.late;
  tally.dropped -= earlier.dropped;
  return tally;
}

struct TenantLoad::State {
  explicit State(const Clock& c) : clock(c) {}

  void work(const std::stop_token& ended, TenantWork& work, DutyCycleOptions options);
  void work_at(std::unique_lock<std::mutex>& lock, const std::stop_token& ended, TenantWork& work,
               const DutyCycleOptions& options);

  const Clock& clock;
  mutable std::mutex mutex;
  std::condition_variable_any changed{};
  double duty = 0.0;
  std::uint64_t changes = 0;   // of duty
  TenantTally tally{};         // of what has ended
  Seconds since{};             // when the work under way began, if duty > 0
  std::exception_ptr error{};  // that ended the thread
};

void TenantLoad::State::work(const std::stop_token& ended, TenantWork& work,
                             DutyCycleOptions options) {
  std::unique_lock lock(mutex);
  while (changed.wait(lock, ended, [&] { return duty > 0.0; })) {
    options.duty = duty;
    work_at(lock, ended, work, options);
    if (ended.stop_requested()) return;
  }
}

/// Works at one duty until that changes.
void TenantLoad::State::work_at(std::unique_lock<std::mutex>& lock, const std::stop_token& ended,
                                TenantWork& work, const DutyCycleOptions& options) {
  const std::uint64_t change = changes;
  const std::uint64_t dropped_before = tally.dropped;
  DutyCycle cycle(options, clock.now());
  while (!ended.stop_requested()) {
    const DutyCycle::Burst burst = cycle.next(clock.now());
    tally.dropped = dropped_before + static_cast<std::uint64_t>(cycle.dropped());
    const std::chrono::duration<double> rest((burst.at - clock.now()).value);
    if (changed.wait_for(lock, ended, rest, [&] { return changes != change; })) return;
    if (ended.stop_requested()) return;
    const bool late = clock.now() - burst.at > kLateShare * options.period;
    lock.unlock();
    const Seconds took = work.run(burst.kind, burst.units);
    lock.lock();
    tally.busy += took;
    tally.longest = std::max(tally.longest, took);
    ++tally.bursts;
    if (late) ++tally.late;
  }
}

TenantLoad::TenantLoad(const std::function<std::unique_ptr<TenantWork>()>& make, const Clock& clock,
                       const TenantLoadOptions& options)
    : state_(std::make_unique<State>(clock)) {
  std::promise<void> ready;
  std::future<void> made = ready.get_future();
  thread_ = std::jthread([&state = *state_, make, options,
                          ready = std::move(ready)](const std::stop_token& ended) mutable {
    std::unique_ptr<TenantWork> work;
    DutyCycleOptions units;
    try {
      work = make();
      units = timed_units(*work, state.clock, options);
    } catch (...) {
      ready.set_exception(std::current_exception());
      return;
    }
    ready.set_value();
    try {
      state.work(ended, *work, units);
    } catch (...) {
      const std::lock_guard lock(state.mutex);
      state.error = std::current_exception();
    }
  });
  made.get();
}

TenantLoad::~TenantLoad() = default;

void TenantLoad::set_duty(double duty) {
  THERMOE_EXPECT(duty >= 0.0 && duty <= 1.0, "duty={} is not in [0, 1]", duty);
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const Seconds now = s.clock.now();
  if (s.duty > 0.0) s.tally.working += now - s.since;
  s.duty = duty;
  s.since = now;
  ++s.changes;
  s.changed.notify_all();
}

TenantTally TenantLoad::tally() const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (s.error) std::rethrow_exception(s.error);
  TenantTally tally = s.tally;
  if (s.duty > 0.0) tally.working += s.clock.now() - s.since;
  return tally;
}

}  // namespace thermoe
