// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/paced_steps.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "core/errors.h"
#include "machine/gpu/route_check.h"

namespace thermoe {
namespace {

using SteadyTime = std::chrono::steady_clock;

/// A thread that sleeps wakes some 0.1 ms late: the rest of a wait is spun.
constexpr Seconds kSpin{200e-6};
/// Of the period: what begins later than this after its time is late.
constexpr double kLate = 0.1;

SteadyTime::time_point after(Seconds s) {
  return SteadyTime::now() +
         std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(s.value));
}

}  // namespace

struct PacedSteps::State {
  State(StepLoad& l, const RouterSpec& r, const Clock& c) : load(l), router(r), clock(c) {}

  void run(const std::stop_token& stop);
  bool await_turn(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);
  void step(std::unique_lock<std::mutex>& lock);
  bool begin(Seconds now);

  StepLoad& load;
  const RouterSpec& router;
  const Clock& clock;
  StagedStep current{};  // the thread's own

  std::mutex mutex;  // all below; never held while the load works
  std::condition_variable_any wake;
  std::condition_variable ended;  // a step, or the thread
  StagedStep mailbox{};
  bool newer = false;    // the mailbox holds what has not run yet
  bool running = false;  // something was staged since the last pause
  bool in_step = false;
  std::uint64_t changes = 0;  // of what a wait for the next turn depends on
  Seconds period{};
  Seconds due{};                        // of the next step
  std::optional<Seconds> last_due{};    // of the step before it, since the last pause
  std::optional<Seconds> last_start{};  // likewise
  StepTally tally{};
  std::exception_ptr error{};  // what ended the thread
};

void PacedSteps::State::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex);
  try {
    while (await_turn(lock, stop)) step(lock);
  } catch (...) {  // a thread's root: nothing may escape
    if (!lock.owns_lock()) lock.lock();
    error = std::current_exception();
  }
  running = in_step = false;
  ended.notify_all();
}

/// Waits for the time of the next step. False: the thread is to end.
bool PacedSteps::State::await_turn(std::unique_lock<std::mutex>& lock,
                                   const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (!running) {
      wake.wait(lock, stop, [&] { return running; });
      continue;
    }
    const Seconds left = due - clock.now();
    if (left <= Seconds(0)) return true;
    if (left > kSpin) {
      const auto changed = [&, seen = changes] { return changes != seen; };
      wake.wait_until(lock, stop, after(left - kSpin), changed);
      continue;
    }
    lock.unlock();
    const auto end = after(left);
    while (SteadyTime::now() < end) std::this_thread::yield();
    lock.lock();
  }
  return false;
}

void PacedSteps::State::step(std::unique_lock<std::mutex>& lock) {
  const Seconds start = clock.now();
  const bool fresh = begin(start);
  lock.unlock();
  if (fresh) load.stage(current);
  const Seconds took = load.run();
  const Seconds end = clock.now();
  const std::uint64_t near_ties = fresh ? check_routing(current, router, load.picks()) : 0;
  lock.lock();
  in_step = false;
  if (tally.steps == 0) tally.from = start;
  tally.to = end;
  ++tally.steps;
  tally.busy += took;
  ++(fresh ? tally.compared : tally.repeated);
  tally.near_ties += near_ties;
  ended.notify_all();
}

/// Counts a step that begins `now`, and says when the next is due. True: it runs what is new.
bool PacedSteps::State::begin(Seconds now) {
  const Seconds behind = now - due;
  if (period > Seconds(0) && behind > kLate * period) ++tally.late;
  if (last_start) {
    tally.spacing += now - *last_start;
    ++tally.spaced;
  }
  last_start = now;
  last_due = behind > period ? now : due;  // a backlog is dropped
  due = *last_due + period;
  in_step = true;
  if (newer) std::swap(current, mailbox);
  return std::exchange(newer, false);
}

PacedSteps::PacedSteps(StepLoad& load, const RouterSpec& router, const Clock& clock)
    : state_(std::make_unique<State>(load, router, clock)),
      thread_([state = state_.get()](const std::stop_token& stop) { state->run(stop); }) {}

PacedSteps::~PacedSteps() = default;

void PacedSteps::stage(StagedStep step) {
  const std::lock_guard lock(state_->mutex);
  std::swap(state_->mailbox, step);
  state_->newer = true;
  if (state_->running || state_->error) return;
  state_->running = true;
  state_->due = state_->clock.now();
  state_->wake.notify_all();
}

void PacedSteps::set_period(Seconds period) {
  THERMOE_EXPECT(std::isfinite(period.value) && period >= Seconds(0),
                 "step period {} s must be >= 0", period.value);
  const std::lock_guard lock(state_->mutex);
  if (period == state_->period) return;
  state_->period = period;
  if (!state_->last_due) return;
  // A step that a shorter period would have begun before now is not late for that.
  state_->due = std::max(*state_->last_due + period, state_->clock.now());
  ++state_->changes;
  state_->wake.notify_all();
}

void PacedSteps::pause() {
  std::unique_lock lock(state_->mutex);
  state_->running = false;
  state_->last_due.reset();
  state_->last_start.reset();
  ++state_->changes;
  state_->wake.notify_all();
  state_->ended.wait(lock, [&] { return !state_->in_step; });
}

StepTally PacedSteps::take_tally() {
  const std::lock_guard lock(state_->mutex);
  if (state_->error) std::rethrow_exception(state_->error);
  return std::exchange(state_->tally, {});
}

}  // namespace thermoe
