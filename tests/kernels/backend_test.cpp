// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include <gmock/gmock.h>

#include "kernels/device_memory.h"

namespace thermoe {
namespace {

TEST(Backend, IsKnownByItsName) {
  for (const Backend b : {Backend::kCpu, Backend::kCuda, Backend::kTriton}) {
    EXPECT_EQ(backend_from(to_string(b)), b);
  }
  EXPECT_EQ(backend_from("gpu"), std::nullopt);
}

TEST(Backend, TheCpuAlwaysRunsAndADeviceSaysWhyItDoesNot) {
  EXPECT_EQ(backend_problem(Backend::kCpu), std::nullopt);
  const auto problem = backend_problem(Backend::kCuda);
  if (!problem) GTEST_SKIP() << "this machine has a CUDA device";
  EXPECT_THAT(*problem, testing::HasSubstr("CUDA"));
  EXPECT_THROW(DeviceMemory(1), UsageError);
}

}  // namespace
}  // namespace thermoe
