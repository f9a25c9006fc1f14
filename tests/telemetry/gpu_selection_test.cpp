// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// GPU 1 could not be opened: it has its place and no name.
std::vector<GpuReading> four_gpus() {
  return {GpuReading{.uuid = "GPU-8932f937-0001", .index = 0}, GpuReading{.index = 1},
          GpuReading{.uuid = "GPU-8932f937-0002", .index = 2},
          GpuReading{.uuid = "GPU-4af1c0de-0003", .index = 3}};
}

std::vector<unsigned> indices(const GpuSelection& selection) {
  std::vector<unsigned> all;
  for (const GpuReading& gpu : select(selection, four_gpus()).gpus) all.push_back(gpu.index);
  return all;
}

std::string refusal(const std::string& flag) {
  try {
    gpus_of_flag(flag);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(GpuSelection, IndicesAreNvmlsAndStayTheGpusOwn) {
  EXPECT_THAT(indices(gpus_of_flag("2")), ElementsAre(2));
  EXPECT_THAT(indices(gpus_of_flag("3, 0,3")), ElementsAre(0, 3));
  EXPECT_THAT(indices(gpus_of_flag("1")), ElementsAre(1)) << "lost, and still GPU 1";
  EXPECT_THAT(indices(gpus_of_flag("all")), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(indices({}), ElementsAre(0, 1, 2, 3));
}

TEST(GpuSelection, ABeginningOfAUuidIsEnoughIfItStandsForOne) {
  EXPECT_THAT(indices(gpus_of_flag("GPU-4af1")), ElementsAre(3));
  EXPECT_THAT(indices(gpus_of_flag("gpu-4AF1C0DE-0003")), ElementsAre(3));
  EXPECT_THAT(indices(gpus_of_flag("GPU-8932f937-0002,GPU-4")), ElementsAre(2, 3));
  const SelectedGpus both = select(gpus_of_flag("GPU-8932f937"), four_gpus());
  EXPECT_THAT(both.gpus, IsEmpty());
  EXPECT_THAT(both.amiss, AllOf(HasSubstr("--gpu GPU-8932f937"), HasSubstr("several"),
                                HasSubstr("GPU 2 (GPU-8932f937-0002)")));
  const std::vector<GpuReading> tens = {GpuReading{.uuid = "GPU-fake-1", .index = 1},
                                        GpuReading{.uuid = "GPU-fake-10", .index = 10}};
  EXPECT_EQ(select(gpus_of_flag("GPU-fake-1"), tens).gpus.size(), 1U) << "the whole of one";
}

TEST(GpuSelection, AGpuThatIsNotThereIsNamedWithWhatThereIs) {
  EXPECT_EQ(select(gpus_of_flag("0,7"), four_gpus()).amiss,
            "--gpu 7: there is no such GPU; choose from 0, 1, 2, 3");
  EXPECT_TRUE(select(gpus_of_flag("0,7"), four_gpus()).certain);
  EXPECT_EQ(select(gpus_of_flag("GPU-77"), four_gpus()).amiss,
            "--gpu GPU-77: there is no such GPU; choose from GPU 0 (GPU-8932f937-0001), GPU 1, "
            "GPU 2 (GPU-8932f937-0002), GPU 3 (GPU-4af1c0de-0003)");
  EXPECT_FALSE(select(gpus_of_flag("GPU-77"), four_gpus()).certain) << "GPU 1 may be it";
  EXPECT_EQ(select(gpus_of_flag("0,3"), four_gpus()).amiss, "");
}

TEST(GpuSelection, WhatIsNoGpuIsRefused) {
  for (const char* bad : {"", "1,", "x", "-1", "1.5", "0x1", "010", "GPU-", "1;2", "all,1"}) {
    EXPECT_THAT(refusal(bad), AllOf(HasSubstr("--gpu"), HasSubstr("GPU-8932f937"))) << bad;
  }
  EXPECT_THAT(refusal("MIG-4af1"), AllOf(HasSubstr("MIG device"), HasSubstr("nvidia-smi -L")));
}

TEST(GpuSelection, CudaVisibleDevicesIsReadAsCudaReadsIt) {
  EXPECT_THAT(indices(gpus_of_cuda("0,2")), ElementsAre(0, 2));
  EXPECT_THAT(indices(gpus_of_cuda("GPU-4af1c0de")), ElementsAre(3));
  EXPECT_THAT(indices(gpus_of_cuda("3,-1,0")), ElementsAre(3)) << "-1 ends the list";
  EXPECT_THAT(indices(gpus_of_cuda("")), IsEmpty());
  EXPECT_THAT(indices(gpus_of_cuda("NoDevFiles")), IsEmpty());
  const SelectedGpus beyond = select(gpus_of_cuda("0,9,2"), four_gpus());
  EXPECT_EQ(beyond.gpus.size(), 1U);
  EXPECT_THAT(beyond.amiss, AllOf(HasSubstr("CUDA_VISIBLE_DEVICES 9"), HasSubstr("what follows")));
}

TEST(GpuSelection, AMigDeviceOfCudasHidesNoGpuAndIsSaid) {
  const GpuSelection selection = gpus_of_cuda("MIG-4af1c0de/1/0");
  EXPECT_TRUE(selection.all());
  EXPECT_THAT(selection.note, AllOf(HasSubstr("MIG-4af1c0de/1/0"), HasSubstr("--gpu")));
}

}  // namespace
}  // namespace thermoe
