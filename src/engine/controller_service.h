// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/clock.h"
#include "engine/caller_source.h"
#include "engine/control_loop.h"
#include "engine/engine_config.h"

namespace thermoe {

/// A controller at work for a foreign engine: it measures and decides in a thread of its own, or on
/// its owner's (`advance`). What the engine's thread calls waits for nothing.
class ControllerService {
 public:
  /// Loads the files that the configuration names, looks for its GPU, and starts. Throws
  /// FormatError, UsageError or TelemetryError.
  explicit ControllerService(EngineConfig config, MakeController make_controller);
  /// Waits for a decision under way.
  ~ControllerService();
  ControllerService(const ControllerService&) = delete;
  ControllerService& operator=(const ControllerService&) = delete;

  const EngineConfig& config() const { return config_; }
  Seconds now() const { return clock_->now(); }

  // One thread each, and not each other's:
  HandOver::Held acquire() { return hand_over_.acquire(now()); }
  void observe(const EngineStep& step) { steps_.add(step); }
  /// Without a thread of its own: the ticks that have come due until `now`, which never falls.
  /// Throws UsageError for a time that does, or where there is such a thread.
  void advance(Seconds now);

  // Any thread:
  bool wants_sample() const { return steps_.wants_sample(); }
  /// Throws UsageError where the sensors are no caller's.
  void set_reading(const GpuReading& reading);
  EngineState state() const { return loop_.state(); }
  /// Where metrics are served; empty where they are not. Lives as long as the service.
  const char* metrics_url() const { return metrics_ ? metrics_->url().c_str() : ""; }

 private:
  std::unique_ptr<Source> open_source() const;
  void work(const std::stop_token& stop);

  const EngineConfig config_;
  std::unique_ptr<VirtualClock> told_;  // where time is the caller's
  std::unique_ptr<Clock> own_;          // where it is not
  const Clock* clock_;
  CallerSensors sensors_{};
  EngineCosts costs_;
  std::unique_ptr<SimulatedSteps> simulated_;  // null: another source
  GpuSystemMonitor monitor_;
  StepLog steps_;
  HandOver hand_over_;
  std::unique_ptr<EngineMetrics> metrics_;  // null: nothing listens
  ControlLoop loop_;
  Seconds next_{};  // tick, of `advance`
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: ended before anything else goes
};

}  // namespace thermoe
