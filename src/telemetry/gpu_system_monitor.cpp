// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_system_monitor.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

bool finite(double value) { return std::isfinite(value); }
bool finite(std::uint64_t) { return true; }
template <class Tag>
bool finite(Quantity<Tag> quantity) {
  return std::isfinite(quantity.value);
}

/// Stamps `fresh`, read at `now`, against the reading before it. Returns whether it was rejected.
template <class T>
bool stamp(Reading<T>& fresh, const Reading<T>& before, Seconds now) {
  const bool rejected = fresh.value && !finite(*fresh.value);
  if (rejected) fresh.value.reset();
  fresh.rejected = rejected;
  fresh.read_at = fresh.value ? now : before.read_at;
  const bool changed = fresh.value && (!before.value || *fresh.value != *before.value);
  fresh.changed_at = changed ? now : before.changed_at;
  return rejected;
}

}  // namespace

GpuSystemMonitor::GpuSystemMonitor(std::unique_ptr<Source> source, const Clock& clock,
                                   MonitorOptions options)
    : source_(std::move(source)), clock_(clock), options_(options) {
  THERMOE_EXPECT(source_ != nullptr, "GpuSystemMonitor needs a source");
  THERMOE_EXPECT(std::isfinite(options_.period.value) && options_.period > Seconds(0),
                 "poll period {} s must be > 0", options_.period.value);
  THERMOE_EXPECT(options_.history >= 1, "the monitor's history must hold at least 1 snapshot");
}

void GpuSystemMonitor::start() {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable()) return;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void GpuSystemMonitor::run(const std::stop_token& stop) {
  const auto period = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(options_.period.value));
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    try {
      poll();
    } catch (const std::exception& e) {  // a thread's root: nothing may escape
      fail(e.what());
    }
    // A poll that took longer than a period skips the ones it missed.
    const auto now = std::chrono::steady_clock::now();
    while (next <= now) next += period;
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, stop, next, [] { return false; });
  }
}

void GpuSystemMonitor::poll() {
  const std::lock_guard reading(source_mutex_);
  try {
    accept(source_->read());
  } catch (const TelemetryError& e) {
    fail(e.what());
  }
}

void GpuSystemMonitor::accept(Snapshot fresh) {
  const std::lock_guard lock(mutex_);
  fresh.at = clock_.now();
  const GpuReading nothing{};
  for (std::size_t g = 0; g < fresh.gpus.size(); ++g) {
    const bool known = !history_.empty() && g < history_.back().gpus.size();
    const GpuReading& before = known ? history_.back().gpus[g] : nothing;
    for_each_reading(fresh.gpus[g], before, [&](auto& reading, const auto& last) {
      if (stamp(reading, last, fresh.at)) ++rejected_readings_;
    });
  }
  history_.push_back(std::move(fresh));
  if (history_.size() > options_.history) history_.pop_front();
  error_.reset();
}

void GpuSystemMonitor::fail(std::string message) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(message);
  ++failed_polls_;
}

Snapshot GpuSystemMonitor::latest() const {
  const std::lock_guard lock(mutex_);
  return history_.empty() ? Snapshot{} : history_.back();
}

std::vector<Snapshot> GpuSystemMonitor::history() const {
  const std::lock_guard lock(mutex_);
  return {history_.begin(), history_.end()};
}

std::optional<std::string> GpuSystemMonitor::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

std::uint64_t GpuSystemMonitor::failed_polls() const {
  const std::lock_guard lock(mutex_);
  return failed_polls_;
}

std::uint64_t GpuSystemMonitor::rejected_readings() const {
  const std::lock_guard lock(mutex_);
  return rejected_readings_;
}

}  // namespace thermoe
