// SPDX-License-Identifier: Apache-2.0
// Linked into test programs that need a CUDA device: where there is none, each test is skipped and
// says why.
#include <gtest/gtest.h>

#include "kernels/device_memory.h"

namespace thermoe {
namespace {

class CudaDevice : public ::testing::Environment {
  void SetUp() override {
    if (const auto problem = device_problem()) GTEST_SKIP() << *problem;
  }
};

[[maybe_unused]] const auto* const kDevice =
    ::testing::AddGlobalTestEnvironment(new CudaDevice);  // gtest deletes it

}  // namespace
}  // namespace thermoe
