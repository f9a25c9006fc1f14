// SPDX-License-Identifier: Apache-2.0
#include "doctor/host_probe.h"

#include <gmock/gmock.h>

#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

class DoctorHost : public ::testing::Test {
 protected:
  Finding host(const std::string& id) { return *find({probe_host(fake_.machine)}, id); }
  Finding sensors(const std::string& id) { return *find({probe_host_sensors(fake_.machine)}, id); }

  FakeSystem fake_;
};

TEST_F(DoctorHost, NamesTheProcessorAndItsFeatures) {
  fake_.add_usual_files();
  EXPECT_EQ(host("cpu.model").value, "Test CPU @ 2 GHz, 2 cores for this process");
  EXPECT_EQ(host("cpu.features").status, Status::kFound);
  EXPECT_EQ(host("cpu.features").value, "AVX2, AVX-512F, VNNI");
  EXPECT_EQ(host("cpu.features").detail, "not here: BF16, AMX");
}

TEST_F(DoctorHost, AFeatureIsAWholeWordOfTheList) {
  fake_.file("/proc/cpuinfo", "model name : X\nflags : avx2x amx_tile_not avx512_bf16\n");
  EXPECT_EQ(host("cpu.features").value, "BF16");
}

TEST_F(DoctorHost, AnUnreadableProcIsUnknownAndNoFailure) {
  for (const char* id : {"cpu.model", "cpu.features", "memory"}) {
    EXPECT_EQ(host(id).status, Status::kUnknown) << id;
    EXPECT_NE(host(id).detail, "") << id;
  }
}

TEST_F(DoctorHost, SaysWhichPathTheKernelsTakeWhateverTheListSays) {
  fake_.add_usual_files();  // lists AVX-512F
  EXPECT_EQ(host("cpu.kernels").value, "AVX2 path");
  fake_.machine.best_isa = cpu::Isa::kAvx512;
  EXPECT_EQ(host("cpu.kernels").value, "AVX-512 path");
  fake_.machine.best_isa = cpu::Isa::kBaseline;
  EXPECT_EQ(host("cpu.kernels").status, Status::kMissing);
  EXPECT_THAT(host("cpu.kernels").remedy, HasSubstr("AVX2"));
}

TEST_F(DoctorHost, EnoughMemoryIsFoundAndTooLittleIsBroken) {
  fake_.add_usual_files();
  EXPECT_EQ(host("memory").status, Status::kFound);
  EXPECT_EQ(host("memory").value, "16.0 GiB, 8.0 available");
  fake_.file("/proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 262144 kB\n");
  EXPECT_EQ(host("memory").status, Status::kBroken);
  EXPECT_TRUE(host("memory").needed);
  EXPECT_NE(host("memory").remedy, "");
}

TEST_F(DoctorHost, AContainersLimitCounts) {
  fake_.add_usual_files();
  fake_.file("/sys/fs/cgroup/memory.max", "268435456\n");
  EXPECT_EQ(host("memory").status, Status::kBroken);
  EXPECT_THAT(host("memory").detail, HasSubstr("this container may use 0.2 GiB"));
  fake_.file("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(host("memory").status, Status::kFound);
  EXPECT_EQ(host("memory").detail, "");
  fake_.file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(host("memory").detail, "") << "version 1 calls no limit a huge one";
}

TEST_F(DoctorHost, ReadableEnergyCountersAreNamed) {
  fake_.file("/sys/class/powercap/intel-rapl/enabled", "1\n");  // no domain
  fake_.file("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
  fake_.file("/sys/class/powercap/intel-rapl:0/energy_uj", "12345\n");
  fake_.file("/sys/class/powercap/intel-rapl:0:0/energy_uj", "12\n");
  EXPECT_EQ(sensors("host.rapl").status, Status::kFound);
  EXPECT_EQ(sensors("host.rapl").value, "package-0 (intel-rapl:0), intel-rapl:0:0");
}

TEST_F(DoctorHost, ClosedEnergyCountersComeWithTheRemedyAndItsCaveat) {
  fake_.file("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
  fake_.file("/sys/class/powercap/intel-rapl:0/energy_uj", "12345\n");
  fake_.close("/sys/class/powercap/intel-rapl:0/energy_uj");
  const AsNobody nobody(fake_);
  if (!nobody.works()) GTEST_SKIP() << "root cannot act as another user here";
  const Finding finding = sensors("host.rapl");
  EXPECT_EQ(finding.status, Status::kNotPermitted);
  for (const char* words : {"$ sudo chmod o+r ", "/etc/udev/rules.d/", "CVE-2020-8694"}) {
    EXPECT_THAT(finding.remedy, HasSubstr(words));
  }
}

TEST_F(DoctorHost, ACounterThatCannotBeReadForOtherReasonsIsBroken) {
  fake_.file("/sys/class/powercap/intel-rapl:0/energy_uj/is_a_folder", "");
  EXPECT_EQ(sensors("host.rapl").status, Status::kBroken);
}

TEST_F(DoctorHost, WithoutCountersTheRemedyDependsOnTheMachine) {
  fake_.file("/proc/cpuinfo", "flags : fpu hypervisor\n");
  EXPECT_EQ(sensors("host.rapl").status, Status::kMissing);
  EXPECT_THAT(sensors("host.rapl").remedy, HasSubstr("virtual machines"));
  fake_.file("/proc/cpuinfo", "flags : fpu\n");
  EXPECT_THAT(sensors("host.rapl").remedy, HasSubstr("$ sudo modprobe intel_rapl_msr"));
}

TEST_F(DoctorHost, ChipsWithTemperaturesAreNamed) {
  EXPECT_EQ(sensors("host.hwmon").status, Status::kMissing);
  EXPECT_NE(sensors("host.hwmon").remedy, "");
  fake_.file("/sys/class/hwmon/hwmon0/name", "fan\n");
  fake_.file("/sys/class/hwmon/hwmon0/fan1_input", "900\n");
  fake_.file("/sys/class/hwmon/hwmon1/name", "coretemp\n");
  fake_.file("/sys/class/hwmon/hwmon1/temp1_input", "41000\n");
  EXPECT_EQ(sensors("host.hwmon").status, Status::kFound);
  EXPECT_EQ(sensors("host.hwmon").value, "coretemp");
}

}  // namespace
}  // namespace thermoe::doctor
