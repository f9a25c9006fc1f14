// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <future>
#include <thread>

namespace thermoe {

/// No test waits longer: what has not come by now never will, and the test says so.
inline constexpr std::chrono::seconds kLongestWait{60};

/// Whether `condition` came true in time.
[[nodiscard]] bool comes_true(const auto& condition) {
  const auto end = std::chrono::steady_clock::now() + kLongestWait;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Whether the promise was kept in time.
template <class T>
[[nodiscard]] bool is_kept(std::promise<T>& promise) {
  return promise.get_future().wait_for(kLongestWait) == std::future_status::ready;
}

}  // namespace thermoe
