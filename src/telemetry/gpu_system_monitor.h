// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/snapshot.h"
#include "telemetry/source.h"

namespace thermoe {

struct MonitorOptions {
  Seconds period{0.1};        ///< time between two polls of the background thread; > 0
  std::size_t history = 600;  ///< snapshots kept; >= 1
};

/// Polls a source and keeps the newest snapshot and a ring of older ones. Stamps every reading with
/// the time it was last read and the time it last changed, so that both a silent and a frozen
/// sensor show. Every member may be called from any thread.
///
/// What a reader sees of faults:
/// - a reading that is absent or not finite has no value and keeps the `read_at` of its last good
/// one;
/// - a poll that throws leaves the last snapshot (ages grow) and sets `error()` until one succeeds.
class GpuSystemMonitor {
 public:
  /// `clock` must outlive the monitor. Does not poll yet: `latest()` is empty until the first poll.
  GpuSystemMonitor(std::unique_ptr<Source> source, const Clock& clock, MonitorOptions options = {});

  GpuSystemMonitor(const GpuSystemMonitor&) = delete;
  GpuSystemMonitor& operator=(const GpuSystemMonitor&) = delete;

  /// Starts the background thread (once; later calls do nothing). It waits in real time, whatever
  /// `clock` says, and ends with the monitor, after the poll under way.
  void start();
  /// One poll by the caller, for virtual time. Never throws TelemetryError: see `error()`.
  void poll();

  Snapshot latest() const;
  /// Oldest first.
  std::vector<Snapshot> history() const;
  /// Why the last poll failed; empty when it succeeded.
  std::optional<std::string> error() const;
  /// Polls that failed since the start.
  std::uint64_t failed_polls() const;
  /// Readings that were NaN or infinite since the start.
  std::uint64_t rejected_readings() const;

 private:
  void run(const std::stop_token& stop);
  void accept(Snapshot fresh);
  void fail(std::string message);

  const std::unique_ptr<Source> source_;
  const Clock& clock_;
  const MonitorOptions options_;

  std::mutex source_mutex_;   // one poll at a time; taken before mutex_
  mutable std::mutex mutex_;  // all below; never held while a source is read
  std::condition_variable_any wake_;
  std::deque<Snapshot> history_;
  std::optional<std::string> error_;
  std::uint64_t failed_polls_ = 0;
  std::uint64_t rejected_readings_ = 0;
  std::jthread thread_;  // last: joined before anything it uses goes
};

}  // namespace thermoe
