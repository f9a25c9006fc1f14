// SPDX-License-Identifier: Apache-2.0
#include "doctor/host_probe.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "core/errors.h"
#include "fake_system.h"
#include "telemetry/host_source.h"
#include "without_roots_rights.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;
using testing::Not;

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
  EXPECT_THAT(host("memory").remedy, HasSubstr("raise the container's limit"));
  fake_.file("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(host("memory").status, Status::kFound);
  EXPECT_EQ(host("memory").detail, "");
  fake_.file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(host("memory").detail, "") << "version 1 calls no limit a huge one";
}

TEST_F(DoctorHost, OfAContainersMemoryWhatIsUsedIsNotLeft) {
  fake_.add_usual_files();
  fake_.file("/sys/fs/cgroup/memory.max", "4294967296\n");
  fake_.file("/sys/fs/cgroup/memory.current", "4294967296\n");
  fake_.file("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 3221225472\n");
  EXPECT_EQ(host("memory").status, Status::kFound) << "a cache of files is given back";
  EXPECT_EQ(host("memory").detail, "this container may use 4.0 GiB, of which 3.0 are left");
  fake_.file("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 0\n");
  EXPECT_EQ(host("memory").status, Status::kBroken);
}

TEST_F(DoctorHost, TheTightestLimitOfTheGroupsAboveThisProcessCounts) {
  fake_.add_usual_files();
  fake_.file("/proc/self/cgroup", "0::/user.slice/job\n");
  fake_.file("/sys/fs/cgroup/user.slice/memory.max", "2147483648\n");
  fake_.file("/sys/fs/cgroup/user.slice/job/memory.max", "max\n");
  EXPECT_THAT(host("memory").detail, HasSubstr("may use 2.0 GiB"));
  fake_.file("/sys/fs/cgroup/user.slice/job/memory.max", "1073741824\n");
  EXPECT_THAT(host("memory").detail, HasSubstr("may use 1.0 GiB"));
}

TEST_F(DoctorHost, AContainersShareOfTheProcessorIsSaid) {
  fake_.add_usual_files();
  fake_.file("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(host("cpu.model").detail, "");
  fake_.file("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(host("cpu.model").detail, "this container may use the time of 1.5 (cgroup)");
  fake_.file("/sys/fs/cgroup/cpu.max", "800000 100000\n");
  EXPECT_EQ(host("cpu.model").detail, "") << "more than there are";
  fake_.file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/1234\n");  // its own name outside
  fake_.file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  fake_.file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_THAT(host("cpu.model").detail, HasSubstr("the time of 0.5"));
}

TEST_F(DoctorHost, ReadableEnergyCountersAreNamedAsTheMonitorNamesThem) {
  fake_.file("/sys/class/powercap/intel-rapl/enabled", "1\n");  // no domain
  fake_.add_rapl("intel-rapl:0", "package-0");
  fake_.add_rapl("intel-rapl:0:0", "core");
  EXPECT_EQ(sensors("host.rapl").status, Status::kFound);
  EXPECT_EQ(sensors("host.rapl").value, "RAPL package-0, RAPL package-0 core");
  EXPECT_EQ(sensors("host.rapl").detail, "");
}

TEST_F(DoctorHost, ClosedEnergyCountersComeWithTheSourcesRemedyAndItsCaveat) {
  fake_.add_rapl("intel-rapl:0", "package-0");
  fake_.close("/sys/class/powercap/intel-rapl:0/energy_uj");
  const WithoutRootsRights user;
  const Finding finding = sensors("host.rapl");
  EXPECT_EQ(finding.status, Status::kNotPermitted);
  EXPECT_THAT(finding.detail, HasSubstr("intel-rapl:0/energy_uj): Permission denied"));
  for (const char* words :
       {"sudo chmod a+r ", "/intel-rapl:*/energy_uj", "/etc/udev/rules.d/", "CVE-2020-8694"}) {
    EXPECT_THAT(finding.remedy, HasSubstr(words));
  }
  HostSource source(
      {.powercap = fake_.path("/sys/class/powercap"), .hwmon = fake_.path("/sys/class/hwmon")});
  EXPECT_THROW(source.read(Seconds(0)), TelemetryError);
  ASSERT_EQ(source.problems().size(), 1U);
  EXPECT_THAT(finding.remedy, testing::StartsWith(source.problems()[0].remedy));
}

TEST_F(DoctorHost, ARemedyIsThatOfTheFileAtFault) {
  fake_.add_rapl("intel-rapl:0", "package-0");
  fake_.close("/sys/class/powercap/intel-rapl:0/max_energy_range_uj");
  const WithoutRootsRights user;
  const Finding finding = sensors("host.rapl");
  EXPECT_EQ(finding.status, Status::kNotPermitted);
  EXPECT_THAT(finding.remedy, HasSubstr("max_energy_range_uj"));
  EXPECT_THAT(finding.remedy, Not(HasSubstr("energy_uj (until")));
}

TEST_F(DoctorHost, OfCountersThatAreReadableInPartBothHalvesAreTold) {
  fake_.add_rapl("intel-rapl:0", "package-0");
  fake_.add_rapl("intel-rapl:0:0", "core");
  fake_.add_rapl("intel-rapl:1", "package-1");
  fake_.close("/sys/class/powercap/intel-rapl:0:0/energy_uj");
  fake_.file("/sys/class/powercap/intel-rapl:1/energy_uj", "");
  const WithoutRootsRights user;
  const Finding finding = sensors("host.rapl");
  EXPECT_EQ(finding.status, Status::kFound);
  EXPECT_EQ(finding.value, "RAPL package-0");
  EXPECT_THAT(finding.detail, HasSubstr("RAPL package-0 core ("));
  EXPECT_THAT(finding.detail, HasSubstr("Permission denied"));
  EXPECT_THAT(finding.detail, HasSubstr("RAPL package-1 ("));
  EXPECT_THAT(finding.detail, HasSubstr("sudo chmod a+r"));
  std::filesystem::remove(fake_.path("/sys/class/powercap/intel-rapl:1/max_energy_range_uj"));
  EXPECT_THAT(sensors("host.rapl").detail, HasSubstr("RAPL package-1: gives no value"));
}

TEST_F(DoctorHost, ACounterThatCannotBeReadForOtherReasonsIsBroken) {
  fake_.add_rapl("intel-rapl:0", "package-0");
  fake_.file("/sys/class/powercap/intel-rapl:0/energy_uj", "full of energy\n");
  EXPECT_EQ(sensors("host.rapl").status, Status::kBroken);
  EXPECT_THAT(sensors("host.rapl").detail, HasSubstr("no whole number"));
  EXPECT_NE(sensors("host.rapl").remedy, "");
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
  EXPECT_EQ(sensors("host.hwmon").value, "coretemp temp1");
}

TEST_F(DoctorHost, OfManySensorsTheFirstAreNamedAndTheRestCounted) {
  fake_.file("/sys/class/hwmon/hwmon0/name", "coretemp\n");
  for (int core = 1; core <= 9; ++core) {
    fake_.file(fmt::format("/sys/class/hwmon/hwmon0/temp{}_input", core), "41000\n");
  }
  EXPECT_THAT(sensors("host.hwmon").value, testing::EndsWith("coretemp temp6, 3 more"));
}

TEST_F(DoctorHost, AClosedThermometerIsDeniedAndNotMissing) {
  fake_.file("/sys/class/hwmon/hwmon1/name", "coretemp\n");
  fake_.file("/sys/class/hwmon/hwmon1/temp1_input", "41000\n");
  fake_.close("/sys/class/hwmon/hwmon1/temp1_input");
  const WithoutRootsRights user;
  EXPECT_EQ(sensors("host.hwmon").status, Status::kNotPermitted);
  EXPECT_THAT(sensors("host.hwmon").remedy, HasSubstr("chmod a+r"));
}

}  // namespace
}  // namespace thermoe::doctor
