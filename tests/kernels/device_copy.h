// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/device_memory.h"

namespace thermoe {

/// Memory on the device that an op writes: all bits set before (NaN as a float, -1 as an id), and a
/// margin behind it that has to stay so.
class Poisoned {
 public:
  explicit Poisoned(std::size_t bytes) : size_(bytes), memory_(bytes + kMargin) { poison(); }

  void poison() {
    const std::vector<std::byte> ones(memory_.size(), std::byte{0xff});
    copy_to_device(memory_.data(), ones, Stream{nullptr});
    synchronise(Stream{nullptr});
  }

  std::byte* data() const { return memory_.data(); }
  std::size_t size() const { return size_; }

  /// Waits for the device. Also says whether something was written behind the end.
  std::vector<std::byte> bytes() const {
    synchronise(Stream{nullptr});
    std::vector<std::byte> all(memory_.size());
    copy_to_host(all, memory_.data(), Stream{nullptr});
    const auto margin = all.begin() + static_cast<std::ptrdiff_t>(size_);
    EXPECT_TRUE(std::all_of(margin, all.end(), [](std::byte b) { return b == std::byte{0xff}; }))
        << "written behind the end";
    all.resize(size_);
    return all;
  }

 private:
  static constexpr std::size_t kMargin = 256;

  std::size_t size_;
  DeviceMemory memory_;
};

/// A copy of `count` values, or of nothing where there are none.
template <class T>
DeviceMemory copied(const T* host, std::size_t count) {
  return host ? on_device(std::span(host, count)) : DeviceMemory();
}

}  // namespace thermoe
