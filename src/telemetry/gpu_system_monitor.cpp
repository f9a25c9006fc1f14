// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_system_monitor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

using SteadyTime = std::chrono::steady_clock;

SteadyTime::duration real_time(Seconds s) {
  return std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(s.value));
}

/// Stamps `fresh`, read at `now`, against the reading before it.
template <class T>
void stamp(Reading<T>& fresh, const Reading<T>& before, Seconds now) {
  fresh.read_at = fresh.value ? now : before.read_at;
  const bool changed = fresh.value && (!before.value || *fresh.value != *before.value);
  fresh.changed_at = changed ? now : before.changed_at;
}

/// What this GPU said before; nothing, if it is new.
GpuReading gpu_before(const Snapshot& before, const GpuReading& fresh) {
  const auto found = std::ranges::find_if(before.gpus, [&](const GpuReading& gpu) {
    return gpu.uuid == fresh.uuid && (!fresh.uuid.empty() || gpu.index == fresh.index);
  });
  return found == before.gpus.end() ? GpuReading{} : *found;
}

HostReading host_before(const Snapshot& before, const HostReading& fresh) {
  const auto found = std::ranges::find(before.host, fresh.name, &HostReading::name);
  return found == before.host.end() ? HostReading{} : *found;
}

/// Stamps all of `fresh` and returns how many readings were rejected.
std::uint64_t stamp(Snapshot& fresh, const Snapshot& before) {
  std::uint64_t rejected = 0;
  const auto stamp_one = [&](auto& reading, const auto& last) {
    stamp(reading, last, fresh.at);
    if (reading.rejected) ++rejected;
  };
  for (GpuReading& gpu : fresh.gpus) {
    const GpuReading last = gpu_before(before, gpu);
    for_each_reading(gpu, last, stamp_one);
  }
  for (HostReading& host : fresh.host) {
    const HostReading last = host_before(before, host);
    for_each_host_reading(host, last, stamp_one);
  }
  return rejected;
}

}  // namespace

struct GpuSystemMonitor::State {
  State(std::unique_ptr<Source> from, const Clock& time, MonitorOptions with)
      : source(std::move(from)), options(with), clock(&time) {}

  void run(const std::stop_token& stop);
  void poll();
  void accept(Snapshot fresh);
  void fail(std::string message);

  const std::unique_ptr<Source> source;
  const MonitorOptions options;

  std::mutex source_mutex;   // one poll at a time; taken before mutex
  mutable std::mutex mutex;  // all below; never held while the source is read
  std::condition_variable_any wake;
  std::condition_variable ended;
  bool thread_ended = false;
  bool poll_requested = false;
  const Clock* clock;  // null once the monitor, and perhaps the clock, is gone
  std::deque<Snapshot> history;
  std::optional<std::string> error;
  std::optional<Seconds> poll_began;
  std::uint64_t failed_polls = 0;
  std::uint64_t rejected_readings = 0;
};

void GpuSystemMonitor::State::run(const std::stop_token& stop) {
  const auto period = real_time(options.period);
  auto next = SteadyTime::now();
  while (!stop.stop_requested()) {
    try {
      poll();
    } catch (const std::exception& e) {  // a thread's root: nothing may escape
      fail(e.what());
    }
    // A poll that took longer than a period skips the ones it missed.
    const auto now = SteadyTime::now();
    while (next <= now) next += period;
    std::unique_lock lock(mutex);
    wake.wait_until(lock, stop, next, [&] { return poll_requested; });
    poll_requested = false;
  }
  const std::lock_guard lock(mutex);
  thread_ended = true;
  ended.notify_all();
}

void GpuSystemMonitor::State::poll() {
  const std::lock_guard reading(source_mutex);
  Seconds now;
  {
    const std::lock_guard lock(mutex);
    if (clock == nullptr) return;
    now = clock->now();
    poll_began = now;
  }
  try {
    accept(source->read(now));
  } catch (const TelemetryError& e) {
    fail(e.what());
  }
}

void GpuSystemMonitor::State::accept(Snapshot fresh) {
  const std::lock_guard lock(mutex);
  if (clock == nullptr) return;
  poll_began.reset();
  fresh.at = clock->now();
  fresh.wall_time = clock->wall_time();
  rejected_readings += stamp(fresh, history.empty() ? Snapshot{} : history.back());
  history.push_back(std::move(fresh));
  if (history.size() > options.history) history.pop_front();
  error.reset();
}

void GpuSystemMonitor::State::fail(std::string message) {
  const std::lock_guard lock(mutex);
  poll_began.reset();
  error = std::move(message);
  ++failed_polls;
}

GpuSystemMonitor::GpuSystemMonitor(std::unique_ptr<Source> source, const Clock& clock,
                                   MonitorOptions options)
    : state_(std::make_shared<State>(std::move(source), clock, options)) {
  THERMOE_EXPECT(state_->source != nullptr, "GpuSystemMonitor needs a source");
  THERMOE_EXPECT(std::isfinite(options.period.value) && options.period > Seconds(0),
                 "poll period {} s must be > 0", options.period.value);
  THERMOE_EXPECT(options.history >= 1, "the monitor's history must hold at least 1 snapshot");
  THERMOE_EXPECT(std::isfinite(options.patience.value) && options.patience >= Seconds(0),
                 "the monitor's patience {} s must be >= 0", options.patience.value);
}

GpuSystemMonitor::~GpuSystemMonitor() {
  if (!thread_.joinable()) return;
  thread_.request_stop();  // ends the wait between polls at once
  std::unique_lock lock(state_->mutex);
  const bool ended = state_->ended.wait_for(lock, real_time(state_->options.patience),
                                            [&] { return state_->thread_ended; });
  if (ended) return;  // thread_ joins as it goes
  state_->clock = nullptr;
  thread_.detach();
}

void GpuSystemMonitor::start() {
  const std::lock_guard lock(state_->mutex);
  if (thread_.joinable()) return;
  thread_ = std::jthread([state = state_](const std::stop_token& stop) { state->run(stop); });
}

void GpuSystemMonitor::poll() { state_->poll(); }

void GpuSystemMonitor::poll_soon() {
  const std::lock_guard lock(state_->mutex);
  state_->poll_requested = true;
  state_->wake.notify_all();
}

Snapshot GpuSystemMonitor::latest() const {
  const std::lock_guard lock(state_->mutex);
  return state_->history.empty() ? Snapshot{} : state_->history.back();
}

std::vector<Snapshot> GpuSystemMonitor::history() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->history.begin(), state_->history.end()};
}

std::optional<std::string> GpuSystemMonitor::error() const {
  const std::lock_guard lock(state_->mutex);
  return state_->error;
}

std::optional<Seconds> GpuSystemMonitor::poll_under_way() const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->poll_began) return std::nullopt;
  return state_->clock->now() - *state_->poll_began;
}

std::uint64_t GpuSystemMonitor::failed_polls() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failed_polls;
}

std::uint64_t GpuSystemMonitor::rejected_readings() const {
  const std::lock_guard lock(state_->mutex);
  return state_->rejected_readings;
}

}  // namespace thermoe
