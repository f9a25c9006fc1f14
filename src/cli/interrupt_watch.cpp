// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt_watch.h"

#include <pthread.h>
#include <unistd.h>

#include <string_view>

namespace thermoe {
namespace {

constexpr int kInterrupted = 130;  // as a shell reports a process ended by SIGINT

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

void say(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void watch(const std::stop_token& ended, std::atomic<bool>& stop) {
  const sigset_t set = watched();
  const timespec patience{.tv_sec = 0, .tv_nsec = 50'000'000};
  while (!ended.stop_requested()) {
    if (sigtimedwait(&set, nullptr, &patience) < 0) continue;  // nothing came
    if (stop.exchange(true)) ::_exit(kInterrupted);
    say("\nthermoe: stopping after this step; once more to stop at once\n");
  }
}

}  // namespace

InterruptWatch::InterruptWatch(std::atomic<bool>& stop) {
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, &before_);
  thread_ = std::jthread([&stop](const std::stop_token& ended) { watch(ended, stop); });
}

InterruptWatch::~InterruptWatch() {
  thread_.request_stop();
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace thermoe
