// SPDX-License-Identifier: Apache-2.0
#include "profile/record/energy_windows.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

/// A device of arithmetic: idle that rises with its warmth, work of so many watts above it, a
/// counter that moves each tenth of a second.
class FakeDevice {
 public:
  explicit FakeDevice(double idle_rise = 0.0) : idle_rise_(idle_rise) {}

  VirtualClock clock{};
  std::atomic<bool> stop{false};
  std::uint64_t gaps = 0;
  bool counts = true;
  std::vector<std::string> prepared{};
  ScriptedSource sensors{[this] { return read(); }};

  EnergyBench bench() {
    return {.sensors = sensors,
            .clock = clock,
            .rest = [this](Seconds time) { pass(time, Watts(0)); },
            .prepare =
                [this](const OpPoint& point) {
                  prepared.push_back(to_string(point));
                  // By its tokens: 1 mJ above idle in 10 us each.
                  return [this, point](const std::function<void()>& meanwhile) {
                    constexpr std::int64_t kExecutions = 4000;
                    pass(Seconds(0.02), Watts(100.0 * point.tokens));
                    meanwhile();
                    pass(Seconds(0.02), Watts(100.0 * point.tokens));
                    return kExecutions;
                  };
                },
            .stop = stop};
  }

 private:
  void pass(Seconds time, Watts above_idle) {
    energy_ += (Watts(100.0 + idle_rise_ * clock.now().value) + above_idle) * time;
    clock.advance_to(clock.now() + time);
    if (clock.now() - moved_ < Seconds(0.1)) return;
    moved_ = clock.now();
    shown_ = energy_;
  }
  Snapshot read() const {
    GpuReading gpu;
    if (counts) gpu.energy.value = shown_;
    gpu.energy_gaps = gaps;
    gpu.temperature.value = Celsius(50);
    gpu.power_instant.value = Watts(300);
    return {.gpus = {gpu}};
  }

  double idle_rise_;
  Joules energy_{}, shown_{};
  Seconds moved_{};
};

std::vector<ProfilePoint> anchors() {
  std::vector<ProfilePoint> all;
  for (const char* name : {"linear [4, 4] f32 tokens 1", "linear [4, 4] f32 tokens 3"}) {
    all.push_back({"fc1", *read_op_point(name)});
  }
  return all;
}

std::vector<EnergyRecord> measured(FakeDevice& device) {
  std::vector<EnergyRecord> records;
  measure_energies(anchors(), {}, device.bench(),
                   [&](const EnergyRecord& record) { records.push_back(record); });
  return records;
}

TEST(EnergyWindows, EnergyAboveIdleIsWhatTheWorkAdded) {
  FakeDevice device;
  const auto records = measured(device);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_NEAR(records[0].above_idle().value, 1e-3, 2e-5);
  EXPECT_NEAR(records[1].above_idle().value, 3e-3, 6e-5);
  EXPECT_NEAR(records[1].power().value, 400, 5) << "gross is kept beside it";
  EXPECT_NEAR(records[1].idle.value, 100, 2);
  EXPECT_GE(records[0].window.value, 4.6);
  EXPECT_EQ(records[1].turn, 1);
  EXPECT_EQ(records[1].state.temperature, Celsius(50));
}

TEST(EnergyWindows, IdleThatDriftsWithWarmthIsInNoEnergy) {
  FakeDevice device(2.0);  // W a second
  const auto records = measured(device);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_NEAR(records[0].above_idle().value, 1e-3, 4e-5);
  EXPECT_NEAR(records[1].above_idle().value, 3e-3, 8e-5);
  EXPECT_GT(records[0].idle_change, 0.05) << "and it is said how far idle moved";
}

TEST(EnergyWindows, AStopKeepsWhatIsWhole) {
  FakeDevice device;
  std::vector<EnergyRecord> records;
  measure_energies(anchors(), {}, device.bench(), [&](const EnergyRecord& record) {
    records.push_back(record);
    device.stop = true;
  });
  EXPECT_EQ(records.size(), 1U);
}

TEST(EnergyWindows, ACounterThatBeginsAnewIsRefused) {
  FakeDevice device;
  EnergyBench bench = device.bench();
  const auto rest = bench.rest;
  bench.rest = [&](Seconds time) {
    rest(time);
    if (device.clock.now() > Seconds(1.5)) device.gaps = 1;
  };
  try {
    measure_energies(anchors(), {}, bench, [](const EnergyRecord&) {});
    FAIL();
  } catch (const TelemetryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("began anew during an idle window"));
  }
}

TEST(EnergyWindows, ADeviceWithoutACounterSaysSo) {
  FakeDevice device;
  EXPECT_FALSE(energy_problem(device.bench()));
  device.counts = false;
  EXPECT_THAT(energy_problem(device.bench()).value(), HasSubstr("no energy counter"));
}

TEST(EnergyWindows, AStepResponseRestsWorksAndRests) {
  FakeDevice device;
  const auto record = measure_step_response(anchors()[1].point, Seconds(20), device.bench());
  ASSERT_TRUE(record);
  EXPECT_NEAR(static_cast<double>(record->samples.size()), 190, 20);
  EXPECT_EQ(device.prepared.size(), 1U);
  device.stop = true;
  EXPECT_FALSE(measure_step_response(anchors()[1].point, Seconds(20), device.bench()));
}

}  // namespace
}  // namespace thermoe
