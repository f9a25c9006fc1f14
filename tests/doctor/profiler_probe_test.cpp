// SPDX-License-Identifier: Apache-2.0
#include "doctor/profiler_probe.h"

#include <gmock/gmock.h>

#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

constexpr const char* kNsys =
    R"(case "$1" in
  --version) echo "NVIDIA Nsight Systems version 2024.5.1.113-245134619542v0" ;;
  export) echo "  -t, --type=  arrow, hdf, json, sqlite, text" ;;
esac)";

class DoctorProfilers : public ::testing::Test {
 protected:
  Finding probe(const std::string& id) { return *find({probe_profilers(fake_.machine)}, id); }

  FakeSystem fake_;
};

TEST_F(DoctorProfilers, MissingOnesSayWhatTheyEnableAndHowToGetThem) {
  for (const char* id : {"nsys", "ncu"}) {
    EXPECT_EQ(probe(id).status, Status::kMissing) << id;
    EXPECT_NE(probe(id).enables, "") << id;
    EXPECT_THAT(probe(id).remedy, HasSubstr("https://developer.nvidia.com/nsight")) << id;
    EXPECT_FALSE(probe(id).needed) << id;
  }
  EXPECT_EQ(probe("nsys.sqlite").status, Status::kUnknown);
}

TEST_F(DoctorProfilers, NsysIsAskedForItsVersionAndItsExport) {
  fake_.program("/usr/bin/nsys", kNsys);
  EXPECT_EQ(probe("nsys").status, Status::kFound);
  EXPECT_EQ(probe("nsys").value, "2024.5.1.113 (" + fake_.path("/usr/bin/nsys") + ")");
  EXPECT_EQ(probe("nsys").remedy, "");
  EXPECT_EQ(probe("nsys.sqlite").status, Status::kFound);
}

TEST_F(DoctorProfilers, TheNewestInTheUsualFoldersIsTaken) {
  fake_.program("/opt/nvidia/nsight-systems/2023.4.4/bin/nsys", "echo version 2023.4.4");
  fake_.program("/opt/nvidia/nsight-systems/2024.10.1/bin/nsys", kNsys);
  EXPECT_THAT(probe("nsys").value, HasSubstr("/2024.10.1/"));
}

TEST_F(DoctorProfilers, NcuIsFoundInItsOwnFolder) {
  fake_.program("/opt/nvidia/nsight-compute/2024.3.2/ncu",
                "echo 'NVIDIA (R) Nsight Compute Command Line Profiler'\n"
                "echo 'Copyright (c) 2018-2024 NVIDIA Corporation'\n"
                "echo 'Version 2024.3.2.0 (build 34861637) (public-release)'");
  EXPECT_EQ(probe("ncu").status, Status::kFound);
  EXPECT_THAT(probe("ncu").value, HasSubstr("2024.3.2.0 ("));
}

TEST_F(DoctorProfilers, OneThatHangsIsBrokenAndDoesNotHoldUp) {
  fake_.machine.patience = std::chrono::milliseconds(100);
  fake_.program("/usr/bin/nsys", "exec sleep 600");
  fake_.program("/usr/bin/ncu", "sleep 600 & wait");
  for (const char* id : {"nsys", "ncu"}) {
    EXPECT_EQ(probe(id).status, Status::kBroken) << id;
    EXPECT_THAT(probe(id).detail, HasSubstr("did not answer within 0.1 s")) << id;
    EXPECT_NE(probe(id).remedy, "") << id;
  }
  EXPECT_EQ(probe("nsys.sqlite").status, Status::kUnknown);
}

TEST_F(DoctorProfilers, OneThatPrintsGarbageIsBrokenAndItsWordsAreTamed) {
  fake_.program("/usr/bin/nsys", R"(printf '\033[2J\377\376no numbers here\n')");
  EXPECT_EQ(probe("nsys").status, Status::kBroken);
  EXPECT_THAT(probe("nsys").detail, HasSubstr("\"[2J\uFFFD\uFFFDno numbers here\""));
}

TEST_F(DoctorProfilers, OneThatFailsIsBrokenWithItsOwnWords) {
  fake_.program("/usr/bin/ncu", "echo 'libQt6.so: cannot open' >&2; exit 127");
  EXPECT_EQ(probe("ncu").detail, "--version ended with exit code 127: libQt6.so: cannot open");
}

TEST_F(DoctorProfilers, ANsysWithoutSqliteExportIsSaid) {
  fake_.program("/usr/bin/nsys", "echo version 2019.3; ");
  EXPECT_EQ(probe("nsys").status, Status::kFound);
  EXPECT_EQ(probe("nsys.sqlite").status, Status::kBroken);
  EXPECT_NE(probe("nsys.sqlite").remedy, "");
}

TEST_F(DoctorProfilers, CountersWithoutDriverAreUnknown) {
  EXPECT_EQ(probe("gpu.counters").status, Status::kUnknown);
}

TEST_F(DoctorProfilers, CountersOfAdministratorsNameTheErrorAndTheRemedy) {
  fake_.add_nvidia_driver();
  fake_.add_capabilities("00000000a80425fb");  // what Docker leaves
  const Finding finding = probe("gpu.counters");
  EXPECT_EQ(finding.status, Status::kNotPermitted);
  EXPECT_THAT(finding.detail, HasSubstr("ERR_NVGPUCTRPERM"));
  EXPECT_THAT(finding.remedy, HasSubstr("options nvidia NVreg_RestrictProfilingToAdminUsers=0"));
  EXPECT_THAT(finding.remedy, HasSubstr("/etc/modprobe.d/"));
}

TEST_F(DoctorProfilers, CountersOpenToAllNeedNoCapability) {
  fake_.add_nvidia_driver();
  fake_.file("/proc/driver/nvidia/params", "RmProfilingAdminOnly: 0\n");
  EXPECT_EQ(probe("gpu.counters").status, Status::kFound);
}

TEST_F(DoctorProfilers, SysAdminOpensTheCountersAndPerfmonOnlySinceDriver565) {
  fake_.add_nvidia_driver();
  fake_.add_capabilities("0000000000200000");
  EXPECT_EQ(probe("gpu.counters").status, Status::kFound);
  EXPECT_THAT(probe("gpu.counters").value, HasSubstr("CAP_SYS_ADMIN"));
  fake_.add_capabilities("0000004000000000");
  EXPECT_THAT(probe("gpu.counters").value, HasSubstr("CAP_PERFMON"));
  fake_.add_nvidia_driver("550.54.15");
  EXPECT_EQ(probe("gpu.counters").status, Status::kNotPermitted);
}

TEST_F(DoctorProfilers, CapabilitiesOfARootlessContainerMayNotCount) {
  fake_.add_nvidia_driver();
  fake_.add_capabilities("000001ffffffffff");
  fake_.file("/proc/self/uid_map", "         0       1000          1\n");
  EXPECT_EQ(probe("gpu.counters").status, Status::kUnknown);
  EXPECT_THAT(probe("gpu.counters").detail, HasSubstr("user namespace"));
}

TEST_F(DoctorProfilers, AParanoidKernelDeniesCpuSampling) {
  EXPECT_EQ(probe("perf_event").status, Status::kUnknown);
  fake_.add_capabilities("0000000000000000");
  fake_.file("/proc/sys/kernel/perf_event_paranoid", "2\n");
  EXPECT_EQ(probe("perf_event").status, Status::kFound);
  fake_.file("/proc/sys/kernel/perf_event_paranoid", "-1\n");
  EXPECT_EQ(probe("perf_event").status, Status::kFound);
  fake_.file("/proc/sys/kernel/perf_event_paranoid", "4\n");
  EXPECT_EQ(probe("perf_event").status, Status::kNotPermitted);
  EXPECT_THAT(probe("perf_event").remedy, HasSubstr("$ sudo sysctl kernel.perf_event_paranoid=2"));
  fake_.add_capabilities("0000004000000000");
  EXPECT_EQ(probe("perf_event").status, Status::kFound);
}

}  // namespace
}  // namespace thermoe::doctor
