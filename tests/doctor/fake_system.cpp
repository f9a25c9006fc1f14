// SPDX-License-Identifier: Apache-2.0
#include "fake_system.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace thermoe::doctor {
FakeSystem::FakeSystem() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const auto root =
      std::filesystem::temp_directory_path() /
      fmt::format("thermoe_{}_{}_{}", test->test_suite_name(), test->name(), ::getpid());
  std::filesystem::create_directories(root);
  machine.root = root.string();
  machine.path = {machine.root + "/usr/bin"};
  machine.environment = {"PATH=/usr/bin:/bin"};
  machine.folder = machine.root + "/clone";
  std::filesystem::create_directories(machine.folder);
  machine.nvml_library = machine.root + "/lib/libnvidia-ml.so.1";
  machine.cpus = 2;
  machine.best_isa = cpu::Isa::kAvx2;
}

FakeSystem::~FakeSystem() {
  std::error_code ignored;
  std::filesystem::remove_all(machine.root, ignored);
}

void FakeSystem::file(const std::string& below, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path(below)).parent_path());
  std::ofstream(path(below), std::ios::binary) << text;
}

void FakeSystem::program(const std::string& below, const std::string& script) {
  file(below, "#!/bin/sh\n" + script + "\n");
  ::chmod(path(below).c_str(), 0755);
}

void FakeSystem::close(const std::string& below) { ::chmod(path(below).c_str(), 0); }

void FakeSystem::add_usual_files() {
  file("/proc/cpuinfo",
       "processor\t: 0\nmodel name\t: Test CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f avx_vnni\n");
  file("/proc/meminfo",
       "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n");
  file("/clone/model/thermoe-e128.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10));
  file("/clone/experiments/demo.json", "{}");
  for (const char* name :
       {"h100/plant.json", "h100/plant_cost_model.json", "h100/kernel_cost_model.json",
        "text/heldout.bin", "text/calibration.bin"}) {
    file(std::string("/clone/data/") + name, "something");
  }
  machine.torch = TorchFacts{.built_version = "2.11.0",
                             .loaded_version = "2.11.0",
                             .library = path("/packages/torch/lib/libtorch_cpu.so")};
}

void FakeSystem::add_nvidia_driver(const std::string& version) {
  file("/proc/driver/nvidia/version",
       "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  " + version +
           "  Release Build  (dvs-builder)  Sun Jul 27 07:02:17 UTC 2025\n"
           "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
  file("/proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 1\n");
  file("/dev/nvidiactl", "");
  file("/dev/nvidia0", "");
  file("/dev/nvidia-uvm", "");
  for (const char* node : {"/dev/nvidiactl", "/dev/nvidia0"}) ::chmod(path(node).c_str(), 0666);
}

void FakeSystem::add_rapl(const std::string& id, const std::string& name) {
  const std::string folder = "/sys/class/powercap/" + id;
  file(folder + "/name", name + "\n");
  file(folder + "/max_energy_range_uj", "262143328850\n");
  file(folder + "/energy_uj", "12345\n");
}

void FakeSystem::add_capabilities(const std::string& hex) {
  file("/proc/self/status", "Name:\ttest\nCapPrm:\tffffffffffffffff\nCapEff:\t" + hex + "\n");
  file("/proc/self/uid_map", "         0          0 4294967295\n");
}

}  // namespace thermoe::doctor
