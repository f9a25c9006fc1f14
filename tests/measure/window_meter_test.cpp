// SPDX-License-Identifier: Apache-2.0
#include "measure/window_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fake_nvml/scripted_nvml.h"
#include "machine/simulated/simulated_gpu.h"
#include "measure/energy_totals.h"
#include "telemetry/host_source.h"
#include "telemetry/nvml_source.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;
using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Optional;

struct Told {
  std::optional<double> joules{};
  std::optional<double> watts{};
  std::optional<double> instant{};
  std::optional<double> celsius{};
};

GpuReading gpu(const Told& told) {
  GpuReading reading{.name = "a GPU"};
  if (told.joules) reading.energy.value = Joules(*told.joules);
  if (told.watts) reading.power_average.value = Watts(*told.watts);
  if (told.instant) reading.power_instant.value = Watts(*told.instant);
  if (told.celsius) reading.temperature.value = Celsius(*told.celsius);
  return reading;
}

Snapshot at(double t, const std::vector<Told>& gpus) {
  Snapshot snapshot{.at = Seconds(t)};
  for (const Told& told : gpus) {
    snapshot.gpus.push_back(gpu(told));
    snapshot.gpus.back().index = static_cast<unsigned>(snapshot.gpus.size() - 1);
  }
  return snapshot;
}

/// A GPU of constant watts whose counter is read once a second, its power ten times.
void add_constant_load(WindowMeter& meter, double from, double to, double watts, double joules) {
  for (int i = 0; from + 0.1 * i < to + 0.05; ++i) {
    Told told{.watts = watts, .instant = watts, .celsius = 55.0};
    if (i % 10 == 0) told.joules = joules + watts * 0.1 * i;
    meter.add(at(from + 0.1 * i, {told}));
  }
}

TEST(WindowMeter, JoulesOfAConstantLoadAreWattsTimesSeconds) {
  WindowMeter meter;
  add_constant_load(meter, 0.0, 2.0, 100.0, 5000.0);
  meter.open(Seconds(2.0));
  add_constant_load(meter, 3.0, 12.0, 350.0, 5200.0 + 350.0);
  const WindowMeasurement window = meter.close(Seconds(12.0));
  EXPECT_DOUBLE_EQ(window.duration.value, 10.0);
  const DeviceMeasurement& gpu = window.gpus.at(0);
  EXPECT_EQ(gpu.energy.basis, EnergyBasis::kCounter);
  EXPECT_THAT(gpu.energy.joules, Optional(Joules(3500.0)));
  EXPECT_NEAR(gpu.mean_power.value().value, 350.0, 1e-9);
  EXPECT_NEAR(gpu.max_temperature.value().value, 55.0, 1e-9);
  EXPECT_NEAR(gpu.energy.start_edge.value, 0.0, 1e-9);
  EXPECT_NEAR(gpu.energy.end_edge.value, 0.0, 1e-9);
}

TEST(WindowMeter, ASimulatedGpusJoulesAreItsTrueOnes) {
  SimulatedGpu simulated({});
  WindowMeter meter;
  const GpuWork work{
      .step_time = Seconds(10e-3), .step_energy = Joules(2.2), .period = Seconds(10e-3)};
  Joules truth{};
  const auto tick = [&] {
    const TickReport outcome = simulated.advance(Seconds(0.1), work);
    meter.add(
        {.at = simulated.now(), .simulated = true, .gpus = {simulated.readings(simulated.now())}});
    return outcome.truth.energy.value();
  };
  for (int i = 0; i < 20; ++i) tick();
  meter.open(simulated.now());
  for (int i = 0; i < 100; ++i) truth += tick();
  const WindowMeasurement window = meter.close(simulated.now());
  EXPECT_TRUE(window.simulated);
  EXPECT_NEAR(window.gpus[0].energy.joules.value().value, truth.value, 1e-3 * truth.value);
  EXPECT_NEAR(window.gpus[0].mean_power.value().value, 350.0, 1.0);
}

TEST(WindowMeter, WithoutACounterPowerIsIntegratedAndThatIsSaid) {
  WindowMeter meter;
  meter.add(at(0.0, {{.watts = 100.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(1.0, {{.watts = 300.0}}));
  meter.add(at(3.0, {{.watts = 300.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(3.0)).gpus.at(0);
  EXPECT_EQ(gpu.energy.basis, EnergyBasis::kIntegratedPower);
  EXPECT_THAT(gpu.energy.joules, Optional(Joules(200.0 + 600.0)));
  EXPECT_NEAR(gpu.mean_power.value().value, 800.0 / 3.0, 1e-9);
  EXPECT_DOUBLE_EQ(gpu.energy.longest_gap.value, 2.0);
}

TEST(WindowMeter, TheDriversAverageIsIntegratedAndInstantPowerIsThePeak) {
  WindowMeter meter;
  meter.open(Seconds(0.0));
  for (int t = 0; t <= 5; ++t) {
    meter.add(at(t, {{.watts = 200.0, .instant = t == 3 ? 650.0 : 50.0}}));
  }
  const DeviceMeasurement gpu = meter.close(Seconds(5.0)).gpus.at(0);
  EXPECT_THAT(gpu.energy.joules, Optional(Joules(1000.0)));
  EXPECT_THAT(gpu.peak_power, Optional(Watts(650.0)));
}

TEST(WindowMeter, ALongSilenceIsNotBridgedByAStraightLine) {
  WindowMeter meter;
  meter.open(Seconds(0.0));
  meter.add(at(0.0, {{.watts = 200.0}}));
  meter.add(at(8.0, {{.watts = 200.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(8.0)).gpus.at(0);
  EXPECT_FALSE(gpu.energy.joules);
  EXPECT_THAT(gpu.energy.absent_because, HasSubstr("was not read for 8.0 s"));
}

TEST(WindowMeter, ACounterThatFellGivesNoJoulesAndTheReason) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 9000.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(1.0, {{.joules = 9300.0}}));
  meter.add(at(2.0, {{.joules = 12.0}}));
  meter.add(at(60.0, {{.joules = 20000.0}}));  // above the start again
  const DeviceMeasurement gpu = meter.close(Seconds(60.0)).gpus.at(0);
  EXPECT_FALSE(gpu.energy.joules);
  EXPECT_FALSE(gpu.mean_power);
  EXPECT_THAT(gpu.energy.absent_because, HasSubstr("fell from 9300.0 J to 12.0 J at 2.0 s"));
}

TEST(WindowMeter, ACounterThatFellBeforeTheWindowIsNoMatterInIt) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 9000.0}}));
  meter.add(at(1.0, {{.joules = 10.0}}));
  meter.open(Seconds(1.0));
  meter.add(at(3.0, {{.joules = 210.0}}));
  EXPECT_THAT(meter.close(Seconds(3.0)).gpus.at(0).energy.joules, Optional(Joules(200.0)));
}

TEST(WindowMeter, ACounterThatJumpsAsNoGpuDrawsGivesNoJoules) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 100.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(1.0, {{.joules = 5e6}}));
  EXPECT_THAT(meter.close(Seconds(1.0)).gpus.at(0).energy.absent_because, HasSubstr("jumped"));
}

TEST(WindowMeter, ACounterThatStandsStillIsNoZero) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 100.0, .watts = 300.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(5.0, {{.joules = 100.0, .watts = 300.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(5.0)).gpus.at(0);
  EXPECT_FALSE(gpu.energy.joules);
  EXPECT_THAT(gpu.energy.absent_because, HasSubstr("did not move"));
}

TEST(WindowMeter, HowFarReadingsLieFromTheEdgesIsSaidAndNothingIsStretched) {
  WindowMeter meter;
  meter.add(at(9.6, {{.joules = 1000.0}}));
  meter.open(Seconds(10.0));
  meter.add(at(10.6, {{.joules = 1100.0}}));
  meter.add(at(18.6, {{.joules = 1900.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(20.0)).gpus.at(0);
  EXPECT_THAT(gpu.energy.joules, Optional(Joules(900.0)));
  EXPECT_NEAR(gpu.energy.start_edge.value, -0.4, 1e-9);
  EXPECT_NEAR(gpu.energy.end_edge.value, -1.4, 1e-9);
  EXPECT_NEAR(gpu.energy.covered.value, 9.0, 1e-9);
  EXPECT_NEAR(gpu.mean_power.value().value, 100.0, 1e-9);
}

TEST(WindowMeter, ANearerReadingAfterTheStartIsTakenInsteadOfAnOldOneBefore) {
  WindowMeter meter;
  meter.add(at(9.1, {{.joules = 1000.0}}));
  meter.open(Seconds(10.0));
  meter.add(at(10.1, {{.joules = 1500.0}}));
  meter.add(at(20.0, {{.joules = 2490.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(20.0)).gpus.at(0);
  EXPECT_THAT(gpu.energy.joules, Optional(Joules(990.0)));
  EXPECT_NEAR(gpu.energy.start_edge.value, 0.1, 1e-9);
}

TEST(WindowMeter, ReadingsFarFromAnEdgeGiveNoJoules) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 1000.0}}));
  meter.open(Seconds(5.0));
  meter.add(at(9.0, {{.joules = 1400.0}}));
  meter.add(at(12.0, {{.joules = 1700.0}}));
  EXPECT_THAT(meter.close(Seconds(12.0)).gpus.at(0).energy.absent_because,
              HasSubstr("first read 4.0 s after the start"));
  meter.open(Seconds(12.0));
  meter.add(at(13.0, {{.joules = 1800.0}}));
  EXPECT_THAT(meter.close(Seconds(20.0)).gpus.at(0).energy.absent_because,
              HasSubstr("last read 7.0 s before the end"));
}

TEST(WindowMeter, AReadingFromLongBeforeTheStartDoesNotStandForIt) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 1000.0}}));
  meter.open(Seconds(5.0));
  meter.add(at(15.0, {{.joules = 2000.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(15.0)).gpus.at(0);
  EXPECT_FALSE(gpu.energy.joules);
  EXPECT_THAT(gpu.energy.absent_because, HasSubstr("first read 10.0 s after the start"));
}

TEST(WindowMeter, AGapThatTheSourceTellsOfGivesNoJoules) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 1000.0}}));
  meter.open(Seconds(0.0));
  Snapshot after = at(10.0, {{.joules = 2000.0}});  // risen, but from where?
  after.gpus[0].energy_gaps = 1;
  meter.add(after);
  EXPECT_THAT(meter.close(Seconds(10.0)).gpus.at(0).energy.absent_because,
              HasSubstr("began anew, or went unread"));
  meter.open(Seconds(10.0));  // one that lies before the window is no matter in it
  after.at = Seconds(11.0);
  after.gpus[0].energy.value = Joules(2100.0);
  meter.add(after);
  EXPECT_THAT(meter.close(Seconds(11.0)).gpus.at(0).energy.joules, Optional(Joules(100.0)));
}

TEST(WindowMeter, AGpuIsKnownByItsIndexWhicheverOthersJoin) {
  WindowMeter meter;
  Snapshot alone = at(0.0, {{.joules = 500.0}});
  alone.gpus[0].index = 3;
  meter.add(alone);
  meter.open(Seconds(0.0));
  Snapshot both = at(10.0, {{.joules = 90000.0}, {.joules = 1500.0}});
  both.gpus[1].index = 3;
  meter.add(both);
  const WindowMeasurement window = meter.close(Seconds(10.0));
  ASSERT_EQ(window.gpus.size(), 2u);
  EXPECT_EQ(window.gpus[1].index, 3u);
  EXPECT_THAT(window.gpus[1].energy.joules, Optional(Joules(1000.0)));
  EXPECT_FALSE(window.gpus[0].energy.joules);
}

TEST(WindowMeter, WindowsFollowEachOtherWithoutLosingAJoule) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 0.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(1.0, {{.joules = 100.0}}));
  EXPECT_THAT(meter.close(Seconds(1.0)).gpus.at(0).energy.joules, Optional(Joules(100.0)));
  meter.open(Seconds(1.0));
  meter.add(at(2.0, {{.joules = 350.0}}));
  EXPECT_THAT(meter.close(Seconds(2.0)).gpus.at(0).energy.joules, Optional(Joules(250.0)));
}

TEST(WindowMeter, TemperatureIsMeanByTimeAndHighest) {
  WindowMeter meter;
  meter.open(Seconds(0.0));
  meter.add(at(0.0, {{.watts = 1.0, .celsius = 40.0}}));
  meter.add(at(9.0, {{.watts = 1.0, .celsius = 40.0}}));
  meter.add(at(10.0, {{.watts = 1.0, .celsius = 60.0}}));
  const DeviceMeasurement gpu = meter.close(Seconds(10.0)).gpus.at(0);
  EXPECT_NEAR(gpu.mean_temperature.value().value, 41.0, 1e-9);
  EXPECT_NEAR(gpu.max_temperature.value().value, 60.0, 1e-9);
}

TEST(EnergyTotals, SumOverSeveralGpus) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 10.0}, {.joules = 5000.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(10.0, {{.joules = 1010.0}, {.joules = 8000.0}}));
  const EnergyTotals totals = energy_totals(meter.close(Seconds(10.0)));
  EXPECT_EQ(totals.gpu.devices, 2);
  EXPECT_THAT(totals.total.joules, Optional(Joules(4000.0)));
  EXPECT_NEAR(totals.total.mean_power.value().value, 400.0, 1e-9);
}

TEST(EnergyTotals, AResetOfOneGpuLeavesNoTotalButTheOthersOwn) {
  WindowMeter meter;
  meter.add(at(0.0, {{.joules = 10.0}, {.joules = 5000.0}}));
  meter.open(Seconds(0.0));
  meter.add(at(10.0, {{.joules = 1010.0}, {.joules = 80.0}}));
  const WindowMeasurement window = meter.close(Seconds(10.0));
  EXPECT_THAT(window.gpus[0].energy.joules, Optional(Joules(1000.0)));
  const EnergyTotals totals = energy_totals(window);
  EXPECT_FALSE(totals.gpu.joules);
  EXPECT_FALSE(totals.total.joules);
  EXPECT_THAT(totals.total.absent_because, HasSubstr("GPU 1: its energy counter fell"));
}

TEST(EnergyTotals, CountNoPartOfAPackageTwice) {
  EXPECT_EQ(host_part("RAPL package-0"), HostPart::kPackage);
  EXPECT_EQ(host_part("RAPL package-1-die-0"), HostPart::kPackage);
  EXPECT_EQ(host_part("RAPL package-0 dram"), HostPart::kDram);
  for (const char* name : {"RAPL package-0 core", "RAPL package-0 uncore", "RAPL psys",
                           "power_meter power1", "k10temp Tctl"}) {
    EXPECT_EQ(host_part(name), HostPart::kOther) << name;
  }
}

/// A sysfs of the test's own with RAPL domains.
class MeasuredHost : public ::testing::Test {
 protected:
  ~MeasuredHost() override { fs::remove_all(root_); }

  void set(const std::string& id, const std::string& name, long long energy_uj) {
    const fs::path folder = root_ / "powercap" / id;
    fs::create_directories(folder);
    std::ofstream(folder / "name") << name << '\n';
    std::ofstream(folder / "max_energy_range_uj") << 262143328850LL << '\n';
    std::ofstream(folder / "energy_uj") << energy_uj << '\n';
  }
  void poll(double t) {
    Snapshot snapshot = source_.read(Seconds(t));
    snapshot.at = Seconds(t);
    meter_.add(snapshot);
  }
  static fs::path fresh_folder() {
    std::string pattern = (fs::temp_directory_path() / "measured_host_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  const fs::path root_ = fresh_folder();
  HostSource source_{
      {.powercap = (root_ / "powercap").string(), .hwmon = (root_ / "hwmon").string()}};
  WindowMeter meter_;
};

TEST_F(MeasuredHost, PackageAndDramAreTheTotalAndCoresAreShownBeside) {
  const auto all = [&](long long package, long long core, long long dram) {
    set("intel-rapl:0", "package-0", package);
    set("intel-rapl:0:0", "core", core);
    set("intel-rapl:0:1", "dram", dram);
  };
  all(50'000'000, 40'000'000, 1'000'000);
  poll(0.0);
  meter_.open(Seconds(0.0));
  all(550'000'000, 340'000'000, 51'000'000);
  poll(5.0);
  all(1'050'000'000, 640'000'000, 101'000'000);
  poll(10.0);
  const WindowMeasurement window = meter_.close(Seconds(10.0));
  ASSERT_EQ(window.host.size(), 3u);
  EXPECT_THAT(window.host[1].energy.joules.value().value, DoubleNear(600.0, 1e-6));
  const EnergyTotals totals = energy_totals(window);
  EXPECT_NEAR(totals.cpu.joules.value().value, 1000.0, 1e-6);
  EXPECT_NEAR(totals.dram.joules.value().value, 100.0, 1e-6);
  EXPECT_NEAR(totals.total.joules.value().value, 1100.0, 1e-6);
}

TEST_F(MeasuredHost, AWrapOfTheCounterIsUndoneAndAResetLeavesNoTotal) {
  set("intel-rapl:0", "package-0", 262'143'000'000);
  poll(0.0);
  meter_.open(Seconds(0.0));
  set("intel-rapl:0", "package-0", 99'671'150);
  poll(1.0);
  EXPECT_NEAR(energy_totals(meter_.close(Seconds(1.0))).total.joules.value().value, 100.0, 1e-6);
  set("intel-rapl:0", "package-0", 0);  // a suspend: no wrap, as nothing draws 260 kW
  poll(2.0);
  set("intel-rapl:0", "package-0", 100'000'000);
  poll(3.0);
  const EnergyTotals totals = energy_totals(meter_.close(Seconds(3.0)));
  EXPECT_FALSE(totals.total.joules);
  EXPECT_THAT(totals.total.absent_because, HasSubstr("RAPL package-0: its energy counter"));
}

TEST_F(MeasuredHost, ADomainThatMayNotBeReadIsNoPartOfTheTotal) {
  set("intel-rapl:0", "package-0", 1'000'000);
  fs::create_directories(root_ / "powercap/intel-rapl:0:0");
  std::ofstream(root_ / "powercap/intel-rapl:0:0/name") << "dram\n";  // and nothing to read
  poll(0.0);
  meter_.open(Seconds(0.0));
  set("intel-rapl:0", "package-0", 101'000'000);
  poll(1.0);
  const WindowMeasurement window = meter_.close(Seconds(1.0));
  EXPECT_TRUE(window.host.at(1).silent);
  EXPECT_NEAR(energy_totals(window).total.joules.value().value, 100.0, 1e-6);
}

TEST(MeasuredNvml, CountsEveryGpuAndKeepsOneWithoutACounterApart) {
  ScriptedNvml nvml("gpus = 2\ngpu0.energy = 1000+50\ngpu1.energy = not_supported\n");
  NvmlSource source({.library = nvml.library(), .energy_period = Seconds(0)});
  WindowMeter meter;
  const auto poll = [&](double t) {
    Snapshot snapshot = source.read(Seconds(t));
    snapshot.at = Seconds(t);
    meter.add(snapshot);
  };
  poll(0.0);
  meter.open(Seconds(0.0));
  for (int t = 1; t <= 10; ++t) poll(t);
  const WindowMeasurement window = meter.close(Seconds(10.0));
  EXPECT_THAT(window.gpus.at(0).energy.joules, Optional(Joules(500.0)));
  EXPECT_EQ(window.gpus.at(0).energy.basis, EnergyBasis::kCounter);
  EXPECT_THAT(window.gpus.at(1).energy.joules, Optional(Joules(3000.0)));
  EXPECT_EQ(window.gpus.at(1).energy.basis, EnergyBasis::kIntegratedPower);
}

TEST(MeasuredNvml, AGpuLostOnTheWayHasNoJoules) {
  ScriptedNvml nvml("gpus = 2\n");
  NvmlSource source({.library = nvml.library(), .energy_period = Seconds(0)});
  WindowMeter meter;
  const auto poll = [&](double t) {
    Snapshot snapshot = source.read(Seconds(t));
    snapshot.at = Seconds(t);
    meter.add(snapshot);
  };
  poll(0.0);
  meter.open(Seconds(0.0));
  poll(1.0);
  nvml.write("gpus = 2\ngpu1.state = lost\n");
  for (int t = 2; t <= 10; ++t) poll(t);
  const EnergyTotals totals = energy_totals(meter.close(Seconds(10.0)));
  EXPECT_FALSE(totals.total.joules);
  EXPECT_THAT(totals.total.absent_because,
              HasSubstr("GPU 1: its energy counter was last read 9.0 s"));
}

TEST(MeasuredRecording, HasTheJoulesOfItsCounterColumn) {
  const auto recording =
      read_telemetry_trace(THERMOE_SOURCE_DIR "/docs/results/monitor_h100.csv").snapshots;
  WindowMeter meter;
  meter.open(recording.front().at);
  for (const Snapshot& snapshot : recording) meter.add(snapshot);
  const DeviceMeasurement gpu = meter.close(recording.back().at).gpus.at(0);
  // The column's last value less its first.
  EXPECT_NEAR(gpu.energy.joules.value().value, 12559.878 - 3457.261, 1e-6);
}

}  // namespace
}  // namespace thermoe
