// SPDX-License-Identifier: Apache-2.0
#include "machine/faulty_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "core/errors.h"
#include "scripted_source.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {
namespace {

using Kind = SensorFault::Kind;

/// Says its clock's time as watts, so that a test sees when a value was true.
std::unique_ptr<FaultySource> faulty(const VirtualClock& clock, std::vector<SensorFault> faults) {
  auto source =
      std::make_unique<ScriptedSource>([&clock] { return power_reading(clock.now().value); });
  return std::make_unique<FaultySource>(std::move(source), std::move(faults));
}

std::optional<Watts> read_at(Source& source, VirtualClock& clock, double t) {
  clock.advance_to(Seconds(t));
  return source.read(clock.now()).gpus.at(0).power_instant.value;
}

TEST(FaultySource, ADropoutSilencesEveryReadingWhileItLasts) {
  VirtualClock clock;
  const auto source = faulty(clock, {{Kind::kDropout, Seconds(1), Seconds(2)}});
  EXPECT_EQ(read_at(*source, clock, 0.9), Watts(0.9));
  EXPECT_EQ(read_at(*source, clock, 1.0), std::nullopt);
  EXPECT_EQ(read_at(*source, clock, 1.9), std::nullopt);
  EXPECT_EQ(read_at(*source, clock, 2.0), Watts(2.0));
}

TEST(FaultySource, AFreezeRepeatsTheLastValueBeforeIt) {
  VirtualClock clock;
  const auto source = faulty(clock, {{Kind::kFreeze, Seconds(1), Seconds(2)}});
  EXPECT_EQ(read_at(*source, clock, 0.9), Watts(0.9));
  EXPECT_EQ(read_at(*source, clock, 1.5), Watts(0.9));
  EXPECT_EQ(read_at(*source, clock, 2.0), Watts(2.0));
}

TEST(FaultySource, AFreezeFromTheStartRepeatsTheFirstValueForEver) {
  VirtualClock clock;
  const auto source = faulty(clock, {{Kind::kFreeze, Seconds(0), Seconds(1e9)}});
  EXPECT_EQ(read_at(*source, clock, 0.3), Watts(0.3));
  EXPECT_EQ(read_at(*source, clock, 5.0), Watts(0.3));
  EXPECT_EQ(read_at(*source, clock, 5000.0), Watts(0.3));
}

TEST(FaultySource, AFreezeThatFollowsADropoutRepeatsWhatTheSensorSaid) {
  VirtualClock clock;
  const auto source = faulty(
      clock, {{Kind::kDropout, Seconds(1), Seconds(2)}, {Kind::kFreeze, Seconds(2), Seconds(3)}});
  EXPECT_EQ(read_at(*source, clock, 1.5), std::nullopt);
  EXPECT_EQ(read_at(*source, clock, 2.5), Watts(1.5));
}

TEST(FaultySource, ANanFaultIsTurnedIntoAbsentAndCountedByTheMonitor) {
  VirtualClock clock;
  auto source = faulty(clock, {{Kind::kNan, Seconds(1), Seconds(2)}});
  GpuSystemMonitor monitor(std::move(source), clock);
  clock.advance_to(Seconds(0.9));
  monitor.poll();
  clock.advance_to(Seconds(1.5));
  monitor.poll();
  const Reading<Watts> power = monitor.latest().gpus.at(0).power_instant;
  EXPECT_EQ(power.value, std::nullopt);
  EXPECT_EQ(power.read_at, Seconds(0.9));
  EXPECT_EQ(monitor.rejected_readings(), 1U);
}

TEST(FaultySource, AFaultThatEndsBeforeItBeginsIsRefused) {
  VirtualClock clock;
  EXPECT_THROW(faulty(clock, {{Kind::kFreeze, Seconds(2), Seconds(1)}}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
