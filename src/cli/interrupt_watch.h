// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <csignal>
#include <thread>

namespace thermoe {

/// Turns Ctrl-C (SIGINT) and SIGTERM into a flag, so that the work under way can end cleanly; a
/// second one ends the process at once (exit code 130). No signal handler: a thread waits for the
/// signals, which are blocked in all others. Make it before the process starts threads.
class InterruptWatch {
 public:
  /// Raises `stop`, which must outlive the watch.
  explicit InterruptWatch(std::atomic<bool>& stop);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  sigset_t before_{};
  std::jthread thread_;
};

}  // namespace thermoe
