// SPDX-License-Identifier: Apache-2.0
#include "telemetry/host_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/errors.h"
#include "telemetry/rapl_domains.h"
#include "without_roots_rights.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A sysfs of the test's own, and a source that reads it.
class HostSourceTest : public ::testing::Test {
 protected:
  HostSourceTest() {
    fs::create_directories(root_ / "powercap/intel-rapl");
    fs::create_directories(root_ / "hwmon");
  }
  ~HostSourceTest() override { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << '\n';
  }
  void add_domain(const std::string& id, const std::string& name, const std::string& energy_uj,
                  const std::string& range_uj = "262143328850") {
    write("powercap/" + id + "/name", name);
    write("powercap/" + id + "/max_energy_range_uj", range_uj);
    write("powercap/" + id + "/energy_uj", energy_uj);
  }
  Snapshot read_at(double t) { return source_.read(Seconds(t)); }
  static std::vector<std::string> names(const Snapshot& snapshot) {
    std::vector<std::string> all;
    for (const HostReading& reading : snapshot.host) all.push_back(reading.name);
    return all;
  }
  static HostReading reading(const Snapshot& snapshot, const std::string& name) {
    const auto found = std::ranges::find(snapshot.host, name, &HostReading::name);
    if (found == snapshot.host.end()) throw std::out_of_range(name);
    return *found;
  }

  static fs::path fresh_folder() {
    std::string pattern = (fs::temp_directory_path() / "host_source_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  const fs::path root_ = fresh_folder();
  HostSource source_{
      {.powercap = (root_ / "powercap").string(), .hwmon = (root_ / "hwmon").string()}};
};

TEST_F(HostSourceTest, ADomainsPowerIsItsEnergyOverTheTimeBetweenTwoPolls) {
  add_domain("intel-rapl:0", "package-0", "5000000");
  const HostReading first = reading(read_at(1.0), "RAPL package-0");
  EXPECT_EQ(first.power.value, std::nullopt);
  EXPECT_EQ(first.energy.value, Joules(0.0));
  write("powercap/intel-rapl:0/energy_uj", "25000000");
  const HostReading second = reading(read_at(1.5), "RAPL package-0");
  EXPECT_DOUBLE_EQ(second.power.value->value, 40.0);
  EXPECT_DOUBLE_EQ(second.energy.value->value, 20.0);
}

TEST_F(HostSourceTest, OneWrapAroundOfTheCounterIsUndone) {
  add_domain("intel-rapl:0", "package-0", "262133328850", "262143328850");
  read_at(0.0);
  write("powercap/intel-rapl:0/energy_uj", "30000000");
  const HostReading wrapped = reading(read_at(1.0), "RAPL package-0");
  EXPECT_DOUBLE_EQ(wrapped.power.value->value, 40.0);
  EXPECT_DOUBLE_EQ(wrapped.energy.value->value, 40.0);
}

TEST_F(HostSourceTest, AnIntervalInWhichTheCounterMayHaveWrappedTwiceHasNoPower) {
  add_domain("intel-rapl:0", "package-0", "1000000");  // 262 kJ: 131 s at 2 kW
  read_at(0.0);
  write("powercap/intel-rapl:0/energy_uj", "2000000");
  const HostReading late = reading(read_at(200.0), "RAPL package-0");
  EXPECT_EQ(late.power.value, std::nullopt);
  EXPECT_EQ(late.energy.value, Joules(0.0));
}

TEST_F(HostSourceTest, ACounterThatBeganAnewIsNoConsumption) {
  add_domain("intel-rapl:0", "package-0", "900000000000", "1000000000000");
  read_at(0.0);
  write("powercap/intel-rapl:0/energy_uj", "1000");  // after a suspend: 100 kJ in 1 s if it wrapped
  const HostReading anew = reading(read_at(1.0), "RAPL package-0");
  EXPECT_EQ(anew.power.value, std::nullopt);
  EXPECT_EQ(anew.energy.value, Joules(0.0));
  write("powercap/intel-rapl:0/energy_uj", "50001000");
  EXPECT_DOUBLE_EQ(reading(read_at(2.0), "RAPL package-0").power.value->value, 50.0);
}

TEST_F(HostSourceTest, PartsOfAPackageAreNamedAfterItAndNamesAreUnique) {
  add_domain("intel-rapl:0", "package-0", "1");
  add_domain("intel-rapl:0:0", "core", "1");
  add_domain("intel-rapl:0:1", "dram", "1");
  add_domain("intel-rapl:1", "package-1", "1");
  add_domain("intel-rapl:1:0", "core", "1");
  add_domain("intel-rapl:2", "psys", "1");
  add_domain("intel-rapl:3", "psys", "1");
  add_domain("intel-rapl-mmio:0", "package-0", "1");  // the same package by another way
  // Parts lie inside their package's folder, too; the flat links are enough.
  EXPECT_THAT(
      names(read_at(0.0)),
      ElementsAre("RAPL package-0", "RAPL package-0 core", "RAPL package-0 dram", "RAPL package-1",
                  "RAPL package-1 core", "RAPL psys", "RAPL psys (intel-rapl:3)"));
}

TEST_F(HostSourceTest, AnUnreadableCounterIsAbsentAndTheReasonAndRemedyAreTold) {
  add_domain("intel-rapl:0", "package-0", "5000000");
  add_domain("intel-rapl:0:0", "core", "1000000");
  write("hwmon/hwmon0/name", "k10temp");
  write("hwmon/hwmon0/temp1_input", "41250");
  fs::permissions(root_ / "powercap/intel-rapl:0/energy_uj", fs::perms::none);
  fs::permissions(root_ / "powercap/intel-rapl:0:0/energy_uj", fs::perms::none);
  Snapshot snapshot;
  {
    const WithoutRootsRights user;
    snapshot = read_at(0.0);
  }
  EXPECT_EQ(reading(snapshot, "RAPL package-0").power.value, std::nullopt);
  EXPECT_EQ(reading(snapshot, "RAPL package-0").energy.value, std::nullopt);
  EXPECT_EQ(reading(snapshot, "k10temp temp1").temperature.value, Celsius(41.25));
  EXPECT_THAT(snapshot.problems,
              ElementsAre(AllOf(HasSubstr("RAPL package-0"), HasSubstr("energy_uj"),
                                HasSubstr("Permission denied"), HasSubstr("sudo chmod a+r")),
                          AllOf(HasSubstr("RAPL package-0 core"), HasSubstr("Permission denied"),
                                Not(HasSubstr("Remedy")))));  // told once
  ASSERT_EQ(source_.problems().size(), 2U);
  EXPECT_EQ(source_.problems()[0].sensor, "RAPL package-0");
  EXPECT_EQ(source_.problems()[0].reason, "Permission denied");
}

TEST_F(HostSourceTest, ADomainWithoutACounterRangeIsAbsentBecauseItsWrapsCannotBeUndone) {
  add_domain("intel-rapl:0", "package-0", "5000000", "0");
  add_domain("intel-rapl:1", "package-1", "5000000");
  const Snapshot snapshot = read_at(0.0);
  EXPECT_EQ(reading(snapshot, "RAPL package-0").energy.value, std::nullopt);
  EXPECT_THAT(snapshot.problems, ElementsAre(HasSubstr("max_energy_range_uj")));
}

TEST_F(HostSourceTest, ChipsGiveTemperaturesAndPowersByTheirLabels) {
  write("hwmon/hwmon0/name", "k10temp");
  write("hwmon/hwmon0/temp1_input", "41250");
  write("hwmon/hwmon0/temp1_label", "Tctl");
  write("hwmon/hwmon0/temp1_max", "90000");
  write("hwmon/hwmon1/name", "amdgpu");
  write("hwmon/hwmon1/power1_average", "31000000");
  write("hwmon/hwmon1/power1_label", "PPT");
  write("hwmon/hwmon2/name", "acpi_power_meter");
  write("hwmon/hwmon2/power1_average", "250000000");
  write("hwmon/hwmon2/power1_input", "260000000");
  write("hwmon/hwmon2/fan1_input", "1200");
  const Snapshot snapshot = read_at(0.0);
  EXPECT_THAT(names(snapshot),
              ElementsAre("k10temp Tctl", "amdgpu PPT", "acpi_power_meter power1"));
  EXPECT_EQ(reading(snapshot, "k10temp Tctl").temperature.value, Celsius(41.25));
  EXPECT_DOUBLE_EQ(reading(snapshot, "amdgpu PPT").power.value->value, 31.0);
  // power1_input wins over power1_average
  EXPECT_DOUBLE_EQ(reading(snapshot, "acpi_power_meter power1").power.value->value, 260.0);
  EXPECT_THAT(snapshot.problems, IsEmpty());
}

TEST_F(HostSourceTest, TwoChipsOfAKindAreToldApartByTheirDevice) {
  for (const std::string n : {"0", "1"}) {
    write("hwmon/hwmon" + n + "/name", "nvme");
    write("hwmon/hwmon" + n + "/temp1_input", "3" + n + "000");
    write("hwmon/hwmon" + n + "/temp1_label", "Composite");
    fs::create_directories(root_ / ("nvme" + n));
    fs::create_directory_symlink(root_ / ("nvme" + n), root_ / ("hwmon/hwmon" + n + "/device"));
  }
  const Snapshot snapshot = read_at(0.0);
  EXPECT_EQ(reading(snapshot, "nvme Composite").temperature.value, Celsius(30.0));
  EXPECT_EQ(reading(snapshot, "nvme Composite (nvme1)").temperature.value, Celsius(31.0));
}

TEST_F(HostSourceTest, ASensorThatVanishesIsAbsentAndIsFoundAgainUnderAnotherNumber) {
  write("hwmon/hwmon0/name", "k10temp");
  write("hwmon/hwmon0/temp1_input", "40000");
  write("hwmon/hwmon1/name", "dock");
  write("hwmon/hwmon1/temp1_input", "30000");
  fs::create_directories(root_ / "usb1");
  fs::create_directory_symlink(root_ / "usb1", root_ / "hwmon/hwmon1/device");
  read_at(0.0);
  fs::rename(root_ / "hwmon/hwmon1", root_ / "unplugged");
  const Snapshot gone = read_at(1.0);
  EXPECT_EQ(reading(gone, "dock temp1").temperature.value, std::nullopt);
  EXPECT_EQ(reading(gone, "k10temp temp1").temperature.value, Celsius(40.0));
  EXPECT_THAT(gone.problems, IsEmpty());
  fs::rename(root_ / "unplugged", root_ / "hwmon/hwmon7");
  const Snapshot back = read_at(10.0);
  EXPECT_EQ(reading(back, "dock temp1").temperature.value, Celsius(30.0));
  EXPECT_THAT(names(back), ElementsAre("k10temp temp1", "dock temp1"));
}

TEST_F(HostSourceTest, ADomainThatVanishesAndComesBackBeginsANewInterval) {
  add_domain("intel-rapl:0", "package-0", "1000000");
  add_domain("intel-rapl:1", "package-1", "1000000");
  read_at(0.0);
  fs::rename(root_ / "powercap/intel-rapl:0", root_ / "away");
  EXPECT_EQ(reading(read_at(1.0), "RAPL package-0").power.value, std::nullopt);
  fs::rename(root_ / "away", root_ / "powercap/intel-rapl:0");
  write("powercap/intel-rapl:0/energy_uj", "900000000");
  EXPECT_EQ(reading(read_at(2.0), "RAPL package-0").power.value, std::nullopt);
  write("powercap/intel-rapl:0/energy_uj", "910000000");
  EXPECT_DOUBLE_EQ(reading(read_at(3.0), "RAPL package-0").power.value->value, 10.0);
}

TEST_F(HostSourceTest, GarbageInAFileIsAbsentAndTold) {
  add_domain("intel-rapl:0", "package-0", "1000000");
  write("hwmon/hwmon0/name", "k10temp");
  write("hwmon/hwmon0/temp1_input", "warm");
  const Snapshot snapshot = read_at(0.0);
  EXPECT_EQ(reading(snapshot, "k10temp temp1").temperature.value, std::nullopt);
  EXPECT_THAT(snapshot.problems,
              ElementsAre(AllOf(HasSubstr("temp1_input"), HasSubstr("\"warm\""))));
}

TEST_F(HostSourceTest, AHostWithoutSensorsSaysWhatWasLookedForAndLooksAgain) {
  try {
    read_at(0.0);
    FAIL() << "read() must throw";
  } catch (const TelemetryError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr((root_ / "powercap").string()),
                                HasSubstr((root_ / "hwmon").string()), HasSubstr("modprobe")));
  }
  write("hwmon/hwmon0/name", "k10temp");
  write("hwmon/hwmon0/temp1_input", "40000");
  EXPECT_EQ(read_at(0.1).host.size(), 1U);
}

TEST_F(HostSourceTest, FoldersThatDoNotExistAreAHostWithoutSensors) {
  HostSource source({.powercap = "/nowhere/powercap", .hwmon = "/nowhere/hwmon"});
  EXPECT_THROW(source.read(Seconds(0)), TelemetryError);
}

TEST(RaplCounter, CountsOnThroughManyWrapsThatAreSeenOneByOne) {
  constexpr long long kRange = 100'000'000'000;
  RaplCounter counter(kRange);
  for (int i = 0; i <= 10; ++i) counter.add((i * 60'000'000'000LL) % kRange, Seconds(40.0 * i));
  EXPECT_DOUBLE_EQ(counter.energy().value, 600e3);
  EXPECT_DOUBLE_EQ(counter.power()->value, 1500.0);
}

TEST(RaplCounter, SaysNoPowerWithoutTimeBetweenTwoReads) {
  RaplCounter counter(100'000'000);
  counter.add(0, Seconds(1.0));
  counter.add(10'000'000, Seconds(1.0));
  EXPECT_EQ(counter.power(), std::nullopt);
}

}  // namespace
}  // namespace thermoe
