// SPDX-License-Identifier: Apache-2.0
#include "doctor/cuda_probe.h"

#include <gmock/gmock.h>

#include "doctor/cuda_version.h"
#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

class DoctorCuda : public ::testing::Test {
 protected:
  void add_nvcc(const std::string& version, const std::string& folder = "/usr/local/cuda/bin") {
    fake_.program(folder + "/nvcc",
                  "echo 'Copyright (c) 2005-2025'; echo 'Cuda compilation tools, release " +
                      version + ", V" + version + ".88'");
  }
  Finding probe(const std::string& id, std::optional<int> driver = std::nullopt) {
    return *find({probe_cuda(fake_.machine, driver)}, id);
  }

  FakeSystem fake_;
};

TEST(DoctorCudaVersion, IsReadAndWrittenAsCudaDoes) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
  EXPECT_EQ(cuda_version_number("12.8"), 12080);
  EXPECT_EQ(cuda_version_number("13.1.88"), 13010);
  EXPECT_EQ(cuda_version_number("13"), 0);
  EXPECT_EQ(cuda_version_number(""), 0);
}

TEST_F(DoctorCuda, WithoutNvccSaysWhereItLookedAndTheRemedy) {
  EXPECT_EQ(probe("cuda.toolkit").status, Status::kMissing);
  EXPECT_THAT(probe("cuda.toolkit").remedy, HasSubstr("CUDACXX"));
  EXPECT_FALSE(probe("cuda.toolkit").needed);
}

TEST_F(DoctorCuda, FindsNvccOnPathFirstThenInTheUsualFolders) {
  add_nvcc("12.8", "/usr/local/cuda-12.8/bin");
  add_nvcc("13.0", "/usr/local/cuda-13.0/bin");
  EXPECT_EQ(probe("cuda.toolkit").status, Status::kFound);
  EXPECT_THAT(probe("cuda.toolkit").value, HasSubstr("13.0 (")) << "the newest of several";
  add_nvcc("12.9", "/usr/bin");
  EXPECT_THAT(probe("cuda.toolkit").value, HasSubstr("12.9 ("));
}

TEST_F(DoctorCuda, FindsNvccInCudaHome) {
  add_nvcc("13.1", "/elsewhere/bin");
  fake_.machine.cuda_homes = {fake_.path("/elsewhere")};
  EXPECT_THAT(probe("cuda.toolkit").value, HasSubstr("13.1 ("));
}

TEST_F(DoctorCuda, AToolkitThatIsTooOldIsBroken) {
  add_nvcc("11.8");
  EXPECT_EQ(probe("cuda.toolkit").status, Status::kBroken);
  EXPECT_THAT(probe("cuda.toolkit").detail, HasSubstr("older than 12.8"));
  EXPECT_NE(probe("cuda.toolkit").remedy, "");
}

TEST_F(DoctorCuda, AnNvccThatSaysNothingOfUseIsBroken) {
  fake_.program("/usr/local/cuda/bin/nvcc", "printf 'gar\\001bage\\n'");
  EXPECT_EQ(probe("cuda.toolkit").status, Status::kBroken);
  EXPECT_THAT(probe("cuda.toolkit").detail, HasSubstr("printed no version: \"garbage\""));
}

TEST_F(DoctorCuda, ComparesTheDriverWithTheToolkit) {
  add_nvcc("13.0");
  EXPECT_EQ(probe("cuda.driver").status, Status::kUnknown);
  EXPECT_EQ(probe("cuda.driver", 13000).status, Status::kFound);
  EXPECT_EQ(probe("cuda.driver", 13000).value, "driver: CUDA up to 13.0, toolkit: 13.0");
  EXPECT_EQ(probe("cuda.driver", 14000).detail, "");
  const Finding old = probe("cuda.driver", 12040);
  EXPECT_EQ(old.status, Status::kBroken);
  EXPECT_THAT(old.detail, HasSubstr("too old"));
  EXPECT_THAT(old.remedy, HasSubstr("driver 580 or later"));
  EXPECT_THAT(old.remedy, HasSubstr("cuda-compat-13-0"));
}

TEST_F(DoctorCuda, AnOlderMinorVersionOfTheDriverIsNoFailure) {
  add_nvcc("12.9");
  EXPECT_EQ(probe("cuda.driver", 12040).status, Status::kFound);
  EXPECT_THAT(probe("cuda.driver", 12040).detail, HasSubstr("PTX"));
}

TEST_F(DoctorCuda, ADriverWithoutToolkitIsUnknown) {
  EXPECT_EQ(probe("cuda.driver", 13000).status, Status::kUnknown);
  EXPECT_THAT(probe("cuda.driver", 13000).value, HasSubstr("13.0"));
}

TEST_F(DoctorCuda, WithoutCuptiSaysWhatItWouldEnable) {
  EXPECT_EQ(probe("cupti").status, Status::kMissing);
  EXPECT_NE(probe("cupti").enables, "");
  EXPECT_THAT(probe("cupti").remedy, HasSubstr("nvidia-cuda-cupti"));
}

TEST_F(DoctorCuda, ACuptiThatCannotBeLoadedIsBrokenWithTheLoadersWords) {
  fake_.file("/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.13", "no library");
  EXPECT_EQ(probe("cupti").status, Status::kBroken);
  EXPECT_THAT(probe("cupti").detail, HasSubstr("libcupti.so.13"));
  EXPECT_NE(probe("cupti").remedy, "");
}

TEST_F(DoctorCuda, FindsCuptiByTheLoadersOwnSearch) {
  fake_.machine.cupti_names = {THERMOE_FAKE_CUPTI};
  EXPECT_EQ(probe("cupti").status, Status::kFound);
  EXPECT_THAT(probe("cupti").value, HasSubstr("(API 130000)"));
}

TEST_F(DoctorCuda, ALibraryOfThatNameThatIsNotCuptiIsBroken) {
  fake_.machine.cupti_names = {"libm.so.6"};
  EXPECT_EQ(probe("cupti").status, Status::kBroken);
  EXPECT_THAT(probe("cupti").detail, HasSubstr("cuptiGetVersion"));
}

TEST_F(DoctorCuda, FindsCuptiBesideLibTorch) {
  fake_.machine.torch = TorchFacts{.library = fake_.path("/packages/torch/lib/libtorch_cpu.so")};
  fake_.file("/packages/torch/lib/libtorch_cpu.so", "");
  fake_.file("/packages/nvidia/cu13/lib/libcupti.so.13", "no library");
  EXPECT_EQ(probe("cupti").value, fake_.path("/packages/nvidia/cu13/lib/libcupti.so.13"));
}

}  // namespace
}  // namespace thermoe::doctor
