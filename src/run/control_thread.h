// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "control/controller.h"

namespace thermoe {

/// A decision and what the controller believed when it took it.
struct Decided {
  Decision decision{};
  ControllerState state{};
};

/// A controller at work in a thread of its own, for machines whose time does not wait for it: who
/// asks goes on at once and looks in later. `ask` and `take` are for one thread; the controller is
/// this thread's alone from the first `ask` on.
class ControlThread {
 public:
  /// `controller` must outlive it.
  explicit ControlThread(Controller& controller);
  /// Waits for a decision under way.
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  /// Hands over a copy of the observation. False, and nothing is done, while the controller is
  /// still busy with the one before.
  bool ask(const Observation& observation);
  /// The decision asked for, once it is there; each is given out once. Throws what `decide` threw.
  std::optional<Decided> take();

 private:
  /// Observation's values.
  struct Question {
    Seconds now{};
    Snapshot snapshot{};
    RoutingStats stats{};
    LogitSample sample{};
    StepMetrics metrics{};
    StepCost costs{};
    std::vector<RoutingStats> ran{};
  };

  void work(const std::stop_token& stop);

  Controller& controller_;
  std::mutex mutex_;
  std::condition_variable_any asked_;
  std::optional<Question> question_{};  // until its answer is there
  std::optional<Decided> answer_{};
  std::exception_ptr fault_{};
  std::jthread thread_;  // last: ended before anything else goes
};

}  // namespace thermoe
