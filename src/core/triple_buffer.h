// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace thermoe {

/// Hands values from one thread to another without locks and without tearing: neither waits for the
/// other, and none is copied. The writer fills `back()` and publishes it; the reader's `acquire`
/// gives the newest published one, which stays untouched until the reader acquires again.
template <class T>
class TripleBuffer {
 public:
  explicit TripleBuffer(const T& initial) : slots_{initial, initial, initial}, middle_(2) {}

  /// Writer side. Holds an older value, or the initial one, until it is assigned.
  T& back() { return slots_[back_]; }
  void publish() { back_ = middle_.exchange(back_ | kFresh, std::memory_order_acq_rel) & ~kFresh; }

  /// Reader side.
  const T& acquire() {
    if ((middle_.load(std::memory_order_relaxed) & kFresh) != 0) {
      front_ = middle_.exchange(front_, std::memory_order_acq_rel) & ~kFresh;
    }
    return slots_[front_];
  }

 private:
  static constexpr std::uint32_t kFresh = 4;  // flag beside the index of the middle slot

  std::array<T, 3> slots_;
  std::uint32_t back_ = 0;             // writer's slot
  std::uint32_t front_ = 1;            // reader's slot
  std::atomic<std::uint32_t> middle_;  // slot in between, with kFresh when newer than front_
};

}  // namespace thermoe
