// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace thermoe {
namespace {

TEST(DeviceMemory, GivesBackWhatWasCopiedToIt) {
  const std::vector<int> values{3, 1, 4, 1, 5, 9, 2, 6};
  DeviceMemory memory = on_device(std::span(values));
  const std::byte* address = memory.data();
  const DeviceMemory moved = std::move(memory);
  EXPECT_EQ(moved.data(), address);
  std::vector<int> back(values.size());
  copy_to_host(std::as_writable_bytes(std::span(back)), moved.data(), Stream{nullptr});
  synchronise(Stream{nullptr});
  EXPECT_EQ(back, values);
}

TEST(DeviceMemory, MoreThanTheDeviceHasIsRefused) {
  EXPECT_THROW(DeviceMemory(std::size_t{1} << 50), CudaError);
}

TEST(DeviceMemory, OfNoBytesIsNull) { EXPECT_EQ(DeviceMemory(0).data(), nullptr); }

}  // namespace
}  // namespace thermoe
