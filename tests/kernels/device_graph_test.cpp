// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_graph.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "core/errors.h"
#include "kernels/device_description.h"
#include "kernels/device_event.h"
#include "kernels/device_memory.h"
#include "kernels/device_stream.h"
#include "kernels/pinned_memory.h"

namespace thermoe {
namespace {

constexpr std::size_t kBytes = 4096;

TEST(DeviceGraph, ReplaysReadWhatPinnedMemoryHoldsThen) {
  const DeviceStream stream;
  const PinnedMemory in(kBytes);
  const PinnedMemory out(kBytes);
  const DeviceMemory memory(kBytes);
  std::ranges::fill(out.bytes(), std::byte{7});
  const DeviceGraph graph(stream, [&](Stream captured) {
    copy_to_device(memory.data(), in.bytes(), captured);
    copy_to_host(out.bytes(), memory.data(), captured);
  });
  synchronise(stream);
  EXPECT_EQ(out.bytes()[kBytes - 1], std::byte{7}) << "a capture runs nothing";
  for (const auto value : {std::byte{1}, std::byte{2}, std::byte{3}}) {
    std::ranges::fill(in.bytes(), value);
    graph.launch(stream);
    synchronise(stream);
    EXPECT_THAT(std::vector(out.bytes().begin(), out.bytes().end()), ::testing::Each(value));
  }
}

TEST(DeviceGraph, AnErrorInACaptureLeavesTheStreamUsable) {
  const DeviceStream stream;
  const DeviceMemory memory(kBytes);
  const PinnedMemory host(kBytes);
  const auto fail = [](Stream) { throw UsageError("no"); };
  EXPECT_THROW(DeviceGraph(stream, fail), UsageError);
  copy_to_host(host.bytes(), memory.data(), stream);
  EXPECT_NO_THROW(synchronise(stream));
}

TEST(DeviceEvent, SaysHowLongTheDeviceTookBetweenTwo) {
  const DeviceStream stream;
  const DeviceMemory memory(std::size_t{64} << 20);
  const PinnedMemory host(memory.size());
  DeviceEvent begin;
  DeviceEvent end;
  EXPECT_TRUE(end.passed()) << "never recorded";
  begin.record(stream);
  copy_to_host(host.bytes(), memory.data(), stream);
  end.record(stream);
  end.wait();
  EXPECT_TRUE(end.passed());
  EXPECT_GT(end.since(begin), Seconds(0.0));
}

TEST(DeviceDescription, NamesTheDeviceAndItsMemory) {
  const DeviceDescription before = describe_device();
  EXPECT_FALSE(before.name.empty());
  EXPECT_THAT(before.uuid, ::testing::MatchesRegex("GPU-[0-9a-f-]{36}"));
  EXPECT_THAT(before.driver_cuda, ::testing::MatchesRegex("[0-9]+\\.[0-9]+"));
  EXPECT_LE(before.free_memory, before.memory);
  const DeviceMemory memory(std::size_t{256} << 20);
  EXPECT_LT(describe_device().free_memory, before.free_memory);
}

}  // namespace
}  // namespace thermoe
