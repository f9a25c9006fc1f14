// SPDX-License-Identifier: Apache-2.0
#include "doctor/torch_probe.h"

#include <gmock/gmock.h>

#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

class DoctorTorch : public ::testing::Test {
 protected:
  DoctorTorch() {
    fake_.add_usual_files();
    fake_.file("/packages/torch/lib/libtorch_cpu.so", "");
  }
  /// A LibTorch for CUDA whose CUDA half needs what `loader` says.
  void add_cuda(const std::string& loader) {
    fake_.machine.torch->cuda = "13.0";
    fake_.file("/packages/torch/lib/libtorch_cuda.so", "");
    fake_.program("/loader", loader);
    fake_.machine.library_lister = {fake_.path("/loader")};
  }
  Finding probe(const std::string& id, std::optional<int> driver = std::nullopt) {
    return *find({probe_torch(fake_.machine, driver)}, id);
  }

  FakeSystem fake_;
};

TEST_F(DoctorTorch, SaysVersionAndPlace) {
  EXPECT_EQ(probe("torch").status, Status::kFound);
  EXPECT_EQ(probe("torch").value,
            "2.11.0 (" + fake_.path("/packages/torch/lib/libtorch_cpu.so") + ")");
  EXPECT_TRUE(probe("torch").needed);
}

TEST_F(DoctorTorch, AnotherVersionThanTheHeadersIsBroken) {
  fake_.machine.torch->loaded_version = "2.12.1";
  EXPECT_EQ(probe("torch").status, Status::kBroken);
  EXPECT_THAT(probe("torch").detail, HasSubstr("2.11.0"));
  EXPECT_THAT(probe("torch").remedy, HasSubstr("LD_LIBRARY_PATH"));
}

TEST_F(DoctorTorch, AProgramWithoutItSaysSo) {
  fake_.machine.torch.reset();
  EXPECT_EQ(probe("torch").status, Status::kMissing);
  EXPECT_EQ(probe("torch.cuda").status, Status::kUnknown);
}

TEST_F(DoctorTorch, ACpuOnlyOneHasNoCudaHalf) {
  EXPECT_EQ(probe("torch.cuda").status, Status::kMissing);
  fake_.machine.torch->cuda = "13.0";  // says so, yet the library was left out
  EXPECT_EQ(probe("torch.cuda").status, Status::kMissing);
}

TEST_F(DoctorTorch, TheCudaHalfIsFoundIfAllItNeedsIsThere) {
  add_cuda("echo '\tlibc10.so => /packages/torch/lib/libc10.so (0x00007f)'");
  EXPECT_EQ(probe("torch.cuda").status, Status::kFound);
  EXPECT_EQ(probe("torch.cuda").value, "built for CUDA 13.0");
}

TEST_F(DoctorTorch, WhatTheCudaHalfLacksIsNamed) {
  add_cuda(
      "echo '\tlibcublas.so.13 => not found'; echo '\tlibm.so.6 => /lib/libm.so.6 (0x1)'\n"
      "echo '\tlibcudnn.so.9 => not found'");
  EXPECT_EQ(probe("torch.cuda").status, Status::kMissing);
  EXPECT_EQ(probe("torch.cuda").detail,
            "libraries it needs are not here: libcublas.so.13, libcudnn.so.9");
  EXPECT_THAT(probe("torch.cuda").remedy, HasSubstr("$ pip install torch==2.11.0"));
}

TEST_F(DoctorTorch, ALoaderThatFailsLeavesItUnknown) {
  add_cuda("exit 127");
  EXPECT_EQ(probe("torch.cuda").status, Status::kUnknown);
}

TEST_F(DoctorTorch, ADriverThatIsTooOldForItIsSaid) {
  add_cuda("true");
  EXPECT_EQ(probe("torch.cuda", 13000).status, Status::kFound);
  EXPECT_EQ(probe("torch.cuda", 12080).status, Status::kBroken);
  EXPECT_THAT(probe("torch.cuda", 12080).detail, HasSubstr("12.8"));
}

}  // namespace
}  // namespace thermoe::doctor
