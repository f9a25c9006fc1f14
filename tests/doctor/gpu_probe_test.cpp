// SPDX-License-Identifier: Apache-2.0
#include "doctor/gpu_probe.h"

#include <gmock/gmock.h>

#include <functional>
#include <new>
#include <thread>

#include "fake_nvml/scripted_nvml.h"
#include "fake_system.h"
#include "without_roots_rights.h"

namespace thermoe::doctor {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DoctorGpu : public ::testing::Test {
 protected:
  /// With the machine's NVML, which is not there unless a test sets one.
  Finding probe(const std::string& id) {
    const std::vector<Section> sections{
        probe_gpu(fake_.machine, ask_nvml(question(), std::chrono::seconds(30)))};
    const Finding* finding = find(sections, id);
    if (finding == nullptr) return {.detail = "no finding " + id};
    return *finding;
  }
  std::function<NvmlProbe()> question() const {
    return [options = NvmlOptions{.library = fake_.machine.nvml_library}] {
      return probe_nvml(options);
    };
  }
  void add_pci_gpu() {
    fake_.file("/sys/bus/pci/devices/0000:1b:00.0/vendor", "0x10de\n");
    fake_.file("/sys/bus/pci/devices/0000:1b:00.0/class", "0x030200\n");
    fake_.file("/sys/bus/pci/devices/0000:1b:00.1/vendor", "0x10de\n");  // its sound device
    fake_.file("/sys/bus/pci/devices/0000:1b:00.1/class", "0x040300\n");
  }

  FakeSystem fake_;
};

TEST_F(DoctorGpu, AMachineWithoutGpuIsToldThatNothingIsNeeded) {
  EXPECT_EQ(probe("gpu.driver").status, Status::kMissing);
  EXPECT_THAT(probe("gpu.driver").remedy, HasSubstr("nothing is needed for simulated runs"));
  EXPECT_EQ(probe("gpu.devices").status, Status::kMissing);
  EXPECT_EQ(probe("nvml.library").status, Status::kMissing);
  EXPECT_THAT(probe("nvml.library").detail, HasSubstr("libnvidia-ml.so.1"));
  EXPECT_EQ(probe("nvml.gpus").status, Status::kUnknown);
  for (const char* id : {"gpu.driver", "gpu.devices", "nvml.library", "nvml.gpus"}) {
    EXPECT_FALSE(probe(id).needed) << id;
    EXPECT_NE(probe(id).enables, "") << id;
  }
}

TEST_F(DoctorGpu, AGpuOnTheBusWithoutDriverIsToldToInstallOne) {
  add_pci_gpu();
  EXPECT_EQ(probe("gpu.driver").detail, "1 NVIDIA GPU on the PCI bus, and no driver is loaded");
  EXPECT_THAT(probe("gpu.driver").remedy, HasSubstr("$ sudo apt install nvidia-driver"));
}

TEST_F(DoctorGpu, ALoadedDriverIsFoundWithItsVersion) {
  fake_.add_nvidia_driver();
  EXPECT_EQ(probe("gpu.driver").status, Status::kFound);
  EXPECT_EQ(probe("gpu.driver").value, "580.65.06");
  EXPECT_EQ(probe("gpu.devices").status, Status::kFound);
  EXPECT_THAT(probe("gpu.devices").value, testing::EndsWith("/dev/nvidia0"));
  fake_.file("/proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 12 2024\n");
  EXPECT_EQ(probe("gpu.driver").value, "550.54.15");
  fake_.file("/proc/driver/nvidia/version", "something else\n");
  EXPECT_EQ(probe("gpu.driver").value, "loaded, version unreadable");
}

TEST_F(DoctorGpu, AContainerWithoutItsGpusIsToldHowToStart) {
  fake_.file("/proc/driver/nvidia/version", "NVRM version: X  580.65.06  Y\n");
  fake_.file("/.dockerenv", "");
  const Finding finding = probe("gpu.devices");
  EXPECT_EQ(finding.status, Status::kMissing);
  EXPECT_THAT(finding.detail, HasSubstr("this container was started without its GPUs"));
  EXPECT_THAT(finding.remedy, HasSubstr("$ docker run --gpus all"));
  EXPECT_THAT(finding.remedy, Not(HasSubstr("nvidia-modprobe")));
}

TEST_F(DoctorGpu, AContainerWithSomeOfTheGpusIsToldHowMany) {
  fake_.add_nvidia_driver();
  add_pci_gpu();
  EXPECT_EQ(probe("gpu.devices").detail, "");
  fake_.file("/sys/bus/pci/devices/0000:5d:00.0/vendor", "0x10de\n");
  fake_.file("/sys/bus/pci/devices/0000:5d:00.0/class", "0x030200\n");
  EXPECT_EQ(probe("gpu.devices").status, Status::kFound);
  EXPECT_THAT(probe("gpu.devices").detail, HasSubstr("1 of the 2 NVIDIA GPUs on the PCI bus"));
}

TEST_F(DoctorGpu, ALoadedDriverWithoutNodesOutsideAContainerHasTwoRemedies) {
  fake_.file("/proc/driver/nvidia/version", "NVRM version: X  580.65.06  Y\n");
  EXPECT_THAT(probe("gpu.devices").remedy,
              AllOf(HasSubstr("$ sudo nvidia-modprobe"), HasSubstr("--gpus all")));
}

TEST_F(DoctorGpu, NodesWithoutDriverAreUnknownAsASandboxMayHideIt) {
  fake_.file("/dev/nvidiactl", "");
  fake_.file("/dev/nvidia0", "");
  EXPECT_EQ(probe("gpu.driver").status, Status::kUnknown);
  EXPECT_THAT(probe("gpu.driver").detail, HasSubstr("sandbox"));
}

TEST_F(DoctorGpu, NodesWithoutTheDriversLibrariesAreAContainersCapabilities) {
  fake_.add_nvidia_driver();
  const Finding finding = probe("nvml.library");
  EXPECT_EQ(finding.status, Status::kMissing);
  EXPECT_THAT(finding.detail, HasSubstr("device nodes are here"));
  EXPECT_THAT(finding.remedy, HasSubstr("NVIDIA_DRIVER_CAPABILITIES=compute,utility"));
}

TEST_F(DoctorGpu, NodesThatMayNotBeOpenedAreNotPermitted) {
  fake_.add_nvidia_driver();
  fake_.close("/dev/nvidia0");
  const WithoutRootsRights user;
  EXPECT_EQ(probe("gpu.devices").status, Status::kNotPermitted);
  EXPECT_THAT(probe("gpu.devices").value, testing::EndsWith("/dev/nvidia0"));
  EXPECT_THAT(probe("gpu.devices").remedy, HasSubstr("$ sudo usermod -aG video"));
}

TEST_F(DoctorGpu, OtherNodesOfTheDriverAreNoGpus) {
  fake_.file("/dev/nvidiactl", "");
  fake_.file("/dev/nvidia-uvm", "");
  fake_.file("/dev/nvidia-caps/nvidia-cap1", "");
  EXPECT_EQ(probe("gpu.devices").detail, "no /dev/nvidia0");
}

TEST_F(DoctorGpu, WindowsBelowLinuxHasItsOwnNode) {
  fake_.file("/dev/dxg", "");
  EXPECT_EQ(probe("gpu.driver").status, Status::kFound);
  EXPECT_EQ(probe("gpu.devices").value, "/dev/dxg");
}

class DoctorNvml : public DoctorGpu {
 protected:
  DoctorNvml() { fake_.machine.nvml_library = nvml_.library(); }

  ScriptedNvml nvml_;
};

TEST_F(DoctorNvml, TellsDriverGpuAndWhatAnswers) {
  nvml_.write(
      "gpus = 2\ngpu0.name = NVIDIA H100 80GB HBM3\ngpu1.memory_temperature = not_supported\n");
  EXPECT_EQ(probe("nvml.library").status, Status::kFound);
  EXPECT_THAT(probe("nvml.library").value, HasSubstr("driver 580.65.06, CUDA up to 13.0, /"));
  EXPECT_EQ(probe("nvml.gpus").value, "2");
  EXPECT_EQ(
      probe("nvml.gpu.0").value,
      "NVIDIA H100 80GB HBM3, 80 GiB, compute capability 9.0, power limit 700 W of 200 to 700");
  EXPECT_THAT(probe("nvml.gpu.0").detail,
              AllOf(HasSubstr("power instant"), Not(HasSubstr("not:"))));
  EXPECT_THAT(probe("nvml.gpu.1").detail, HasSubstr("does not: memory temperature ("));
}

TEST_F(DoctorNvml, AGpuWithoutPowerReadingIsNamedBesideThoseWithOne) {
  nvml_.write(
      "gpus = 2\ngpu1.power_average = not_supported\ngpu1.power_instant = not_supported\n"
      "gpu1.power_usage = not_supported\n");
  EXPECT_EQ(probe("nvml.power").status, Status::kFound);
  EXPECT_EQ(probe("nvml.power").value, "GPU 0");
  EXPECT_EQ(probe("nvml.power").detail, "none of GPU 1 (Not Supported)");
  EXPECT_EQ(probe("nvml.gpu.1").status, Status::kFound) << "it has other readings";
}

TEST_F(DoctorNvml, ADriverWithoutGpuSaysSo) {
  nvml_.write("gpus = 0\n");
  EXPECT_EQ(probe("nvml.library").status, Status::kFound);
  EXPECT_EQ(probe("nvml.gpus").status, Status::kMissing);
  EXPECT_THAT(probe("nvml.gpus").remedy, HasSubstr("--gpus all"));
}

TEST_F(DoctorNvml, AnInitialisationThatFailsIsBrokenWithCauseAndRemedy) {
  nvml_.write("init = driver_not_loaded\n");
  EXPECT_EQ(probe("nvml.library").status, Status::kBroken);
  EXPECT_NE(probe("nvml.library").detail, "");
  EXPECT_NE(probe("nvml.library").remedy, "");
  nvml_.write("init = library_mismatch\n");
  EXPECT_EQ(probe("nvml.library").status, Status::kBroken);
  EXPECT_NE(probe("nvml.library").remedy, "");
}

TEST_F(DoctorNvml, ALostGpuIsBrokenAndTheOthersAreNot) {
  nvml_.write("gpus = 2\ngpu1.state = lost\n");
  EXPECT_EQ(probe("nvml.gpu.0").status, Status::kFound);
  EXPECT_EQ(probe("nvml.gpu.1").status, Status::kBroken);
  EXPECT_THAT(probe("nvml.gpu.1").remedy, HasSubstr("$ nvidia-smi -q -i 1"));
}

TEST_F(DoctorNvml, AnOldLibraryNamesWhatItLacks) {
  fake_.machine.nvml_library = THERMOE_FAKE_NVML_OLD_LIBRARY;
  EXPECT_EQ(probe("nvml.library").status, Status::kFound);
  EXPECT_THAT(probe("nvml.library").detail, HasSubstr("nvmlDeviceGetFieldValues"));
}

TEST_F(DoctorNvml, WhatGoesWrongWhileItIsAskedIsThrownToTheCallerAndEndsNoProcess) {
  const auto out_of_memory = []() -> NvmlProbe { throw std::bad_alloc(); };
  EXPECT_THROW(ask_nvml(out_of_memory, std::chrono::seconds(30)), std::bad_alloc);
}

TEST_F(DoctorNvml, ADriverThatHangsIsLeftBehind) {
  nvml_.write("hang.nvmlInit_v2 = 60\n");
  fake_.machine.nvml_patience = milliseconds(50);
  const auto answer = ask_nvml(question(), fake_.machine.nvml_patience);
  EXPECT_FALSE(answer.has_value());
  const std::vector<Section> sections{probe_gpu(fake_.machine, answer)};
  EXPECT_EQ(find(sections, "nvml.library")->status, Status::kBroken);
  EXPECT_EQ(find(sections, "nvml.library")->detail,
            "did not answer within 0.05 s: the driver hangs");
  EXPECT_EQ(find(sections, "nvml.gpus")->status, Status::kUnknown);
  nvml_.write("");  // lets the thread end before its script goes
  for (int i = 0; i < 10000 && nvml_.calls("nvmlShutdown") == 0; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_GT(nvml_.calls("nvmlShutdown"), 0U);
}

}  // namespace
}  // namespace thermoe::doctor
