// SPDX-License-Identifier: Apache-2.0
#include "run/control_thread.h"

#include <utility>

namespace thermoe {

ControlThread::ControlThread(Controller& controller)
    : controller_(controller), thread_([this](const std::stop_token& stop) { work(stop); }) {}

ControlThread::~ControlThread() = default;

bool ControlThread::ask(const Observation& o) {
  {
    const std::lock_guard lock(mutex_);
    if (question_) return false;
    question_ = {.now = o.now,
                 .snapshot = o.snapshot,
                 .stats = o.stats,
                 .sample = o.sample,
                 .metrics = o.metrics,
                 .costs = o.costs,
                 .ran = {o.ran.begin(), o.ran.end()}};
  }
  asked_.notify_one();
  return true;
}

std::optional<Decided> ControlThread::take() {
  const std::lock_guard lock(mutex_);
  if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
  return std::exchange(answer_, std::nullopt);
}

void ControlThread::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (asked_.wait(lock, stop, [this] { return question_.has_value(); })) {
    const Question& q = *question_;  // nobody else touches it until it is reset
    lock.unlock();
    Decided decided;
    std::exception_ptr fault;
    try {
      decided.decision = controller_.decide({.now = q.now,
                                             .snapshot = q.snapshot,
                                             .stats = q.stats,
                                             .sample = q.sample,
                                             .metrics = q.metrics,
                                             .costs = q.costs,
                                             .ran = q.ran});
      decided.state = controller_.state();
    } catch (...) {  // a thread's root: whoever asks next gets it
      fault = std::current_exception();
    }
    lock.lock();
    question_.reset();
    if (fault) {
      fault_ = fault;
    } else {
      answer_ = std::move(decided);
    }
  }
}

}  // namespace thermoe
