// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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
  /// Longest that the destructor waits for a poll under way before it leaves it behind; >= 0.
  Seconds patience{1.0};
};

/// Polls a source and keeps the newest snapshot and a ring of older ones. Stamps every reading with
/// the time it was last read and the time it last changed, so that both a silent and a frozen
/// sensor show. Every member may be called from any thread.
///
/// What a reader sees of faults:
/// - a reading that is absent or was rejected has no value and keeps the `read_at` of its last good
///   one;
/// - a poll that throws leaves the last snapshot (ages grow) and sets `error()` until one succeeds;
/// - a poll that does not return (a driver that hangs) leaves the last snapshot too, and
///   `poll_under_way()` grows. No reader ever waits for the source.
///
/// Readings are matched with those before them to tell what changed: a GPU by its UUID, or by its
/// index where the source knows none; a host sensor by its name.
class GpuSystemMonitor {
 public:
  /// `clock` must outlive the monitor. Does not poll yet: `latest()` is empty until the first poll.
  GpuSystemMonitor(std::unique_ptr<Source> source, const Clock& clock, MonitorOptions options = {});

  /// Ends the background thread. A poll under way is waited for during `patience` of real time; one
  /// that still has not returned is left behind with the source: its thread touches neither the
  /// monitor nor the clock any more, and destroys the source once it returns, or never does. No
  /// thread can be cancelled inside a driver, so the choice is between this and hanging with it.
  ~GpuSystemMonitor();
  GpuSystemMonitor(const GpuSystemMonitor&) = delete;
  GpuSystemMonitor& operator=(const GpuSystemMonitor&) = delete;

  /// Starts the background thread (once; later calls do nothing). It waits in real time, whatever
  /// `clock` says, and ends with the monitor.
  void start();
  /// One poll by the caller, for virtual time; takes as long as the source does. Never throws
  /// TelemetryError: see `error()`.
  void poll();
  /// The background thread polls now instead of at its next turn: for readings at an edge in time.
  /// Does not wait for it.
  void poll_soon();

  Snapshot latest() const;
  /// Oldest first.
  std::vector<Snapshot> history() const;
  /// Why the last poll failed; empty when it succeeded.
  std::optional<std::string> error() const;
  /// How long the poll under way has taken so far; empty between polls.
  std::optional<Seconds> poll_under_way() const;
  /// Polls that failed since the start.
  std::uint64_t failed_polls() const;
  /// Readings that could not be true, since the start.
  std::uint64_t rejected_readings() const;

 private:
  struct State;  // shared with the thread, which may outlive the monitor

  const std::shared_ptr<State> state_;
  std::jthread thread_;  // last: ended before anything else goes
};

}  // namespace thermoe
