// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/energy_track.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace thermoe {
namespace {

/// A reading that was seen to change at `at`.
GpuReading counter(double at, double joules, std::uint64_t gaps = 0) {
  GpuReading gpu;
  gpu.energy = {.value = Joules(joules), .read_at = Seconds(at), .changed_at = Seconds(at)};
  gpu.energy_gaps = gaps;
  return gpu;
}

/// A counter that changes every 0.1 s from -0.2 s on, of a GPU that draws 200 W and, from 1 s on,
/// `later`.
class Counter {
 public:
  explicit Counter(double later = 200.0) : later_(later) {}
  /// Tells the track of the changes up to `now`.
  void tell(EnergyTrack& track, double now) {
    for (; - 0.2 + 0.1 * changes_ <= now + 1e-9; ++changes_) {
      const double at = -0.2 + 0.1 * changes_;
      track.add(counter(at, 1000.0 + 200.0 * std::min(at, 1.0) + later_ * std::max(at - 1.0, 0.0)));
    }
  }

 private:
  double later_;
  int changes_ = 0;
};

/// Joules of ticks of 0.1 s from 0 s on, whose ends lie between two changes.
std::vector<double> ticks_of(Counter counter, int ticks) {
  EnergyTrack track;
  counter.tell(track, 0.0);
  std::vector<double> joules;
  for (int i = 1; i <= ticks; ++i) {
    counter.tell(track, 0.1 * i - 0.03);  // the change at the end itself is not known yet
    const auto used = track.used(Seconds(0.1 * (i - 1)), Seconds(0.1 * i));
    EXPECT_TRUE(used.has_value()) << "tick " << i << ": " << track.problem();
    joules.push_back(used.value_or(Joules(-1)).value);
  }
  return joules;
}

TEST(EnergyTrack, ConstantPowerComesOutExactly) {
  for (const double joules : ticks_of(Counter(), 30)) EXPECT_NEAR(joules, 20.0, 1e-9);
}

TEST(EnergyTrack, AStepOfPowerIsSeenWithinACounterPeriod) {
  const std::vector<double> joules = ticks_of(Counter(500.0), 14);
  EXPECT_NEAR(joules[9], 20.0, 1e-9) << "until 1 s";
  EXPECT_NEAR(joules[10], 20.0, 1e-9) << "the change at 1.1 s is not known at 1.1 s";
  EXPECT_NEAR(joules[11], 80.0, 1e-9) << "50 J, and the 30 J that the tick before had too little";
  EXPECT_NEAR(joules[12], 50.0, 1e-9);
}

TEST(EnergyTrack, AGuessThatWasTooHighIsMadeUpForAndNoTickIsNegative) {
  const std::vector<double> joules = ticks_of(Counter(50.0), 14);
  EXPECT_NEAR(joules[10], 20.0, 1e-9);
  EXPECT_NEAR(joules[11], 0.0, 1e-9) << "5 J, of which the tick before had 15 J too much";
  EXPECT_NEAR(joules[12], 0.0, 1e-9) << "5 J of the 10 J that are left";
  EXPECT_NEAR(joules[13], 0.0, 1e-9);
}

TEST(EnergyTrack, TicksOfAnyLengthAddUpToTheCounter) {
  EnergyTrack track;
  Counter said(730.0);
  said.tell(track, 0.0);
  double sum = 0.0;
  double from = 0.0;
  int i = 0;
  for (double to = 0.013; to < 2.0; to += 0.013 + 0.001 * (++i % 7)) {
    said.tell(track, to - 0.02);
    sum += track.used(Seconds(from), Seconds(to)).value_or(Joules(1e6)).value;
    from = to;
  }
  said.tell(track, 3.0);
  sum += track.used(Seconds(from), Seconds(2.95)).value_or(Joules(1e6)).value;
  EXPECT_NEAR(sum, 200.0 + 1.95 * 730.0, 1e-6);
}

TEST(EnergyTrack, TheFirstReadingIsNoChangeAndTwoChangesMakeASlope) {
  EnergyTrack track;
  track.add(counter(0.09, 1000.0));  // read when it had stood for long
  track.add(counter(0.10, 1020.0));
  EXPECT_EQ(track.at(Seconds(0.1)), std::nullopt);
  EXPECT_EQ(track.used(Seconds(0.1), Seconds(0.15)), std::nullopt);
  EXPECT_EQ(track.problem(), "the energy counter has not changed twice yet");
  track.add(counter(0.20, 1040.0));
  EXPECT_EQ(track.at(Seconds(0.09)), std::nullopt) << "before the first change";
  EXPECT_NEAR(track.at(Seconds(0.15))->value, 1030.0, 1e-9);
  EXPECT_NEAR(track.at(Seconds(0.25))->value, 1050.0, 1e-9);
  EXPECT_NEAR(track.used(Seconds(0.15), Seconds(0.2))->value, 10.0, 1e-9)
      << "what no call has said is read off the changes";
}

TEST(EnergyTrack, AChangeThatWasReadLateMakesNoWatts) {
  EnergyTrack track;
  for (int i = 0; i <= 9; ++i) track.add(counter(0.1 * i, 1000.0 + 20.0 * i));
  track.add(counter(1.07, 1200.0));  // 20 J of 0.1 s, seen 70 ms late
  track.add(counter(1.10, 1220.0));  // 20 J of 0.1 s, seen 30 ms after the others
  EXPECT_NEAR(track.at(Seconds(1.15))->value, 1230.0, 1e-9) << "200 W, and not 667 W";
  track.add(counter(1.40, 1280.0));  // two changes were not seen
  EXPECT_NEAR(track.at(Seconds(1.45))->value, 1290.0, 1e-9);
}

TEST(EnergyTrack, ACounterThatBeginsAnewBreaksTheTickAndNoOther) {
  for (const bool noticed : {true, false}) {
    EnergyTrack track;
    for (int i = 0; i <= 10; ++i) track.add(counter(0.1 * i, 1000.0 + 20.0 * i));
    EXPECT_NEAR(track.used(Seconds(0.8), Seconds(1.0))->value, 40.0, 1e-9);
    // Lost and counted past where it was, or simply from 0 on.
    const double anew = noticed ? 5000.0 : 0.0;
    for (int i = 11; i <= 14; ++i) {
      track.add(counter(0.1 * i, anew + 30.0 * i, noticed ? 1 : 0));
    }
    EXPECT_EQ(track.used(Seconds(1.0), Seconds(1.3)), std::nullopt);
    EXPECT_EQ(track.problem(), "the energy counter began anew");
    EXPECT_NEAR(track.used(Seconds(1.3), Seconds(1.4))->value, 30.0, 1e-9);
    EXPECT_EQ(track.problem(), "");
  }
}

TEST(EnergyTrack, WithoutACounterThereIsNoEnergy) {
  EnergyTrack track;
  GpuReading gpu;
  gpu.power_average.value = Watts(300);
  for (int i = 0; i < 5; ++i) track.add(gpu);
  EXPECT_EQ(track.used(Seconds(0), Seconds(0.1)), std::nullopt);
  EXPECT_EQ(track.problem(), "the GPU has no energy counter");
}

TEST(EnergyTrack, ACounterThatFallsSilentIsNotContinuedForever) {
  EnergyTrack track;
  for (int i = 0; i <= 5; ++i) track.add(counter(0.1 * i, 1000.0 + 20.0 * i));
  EXPECT_NEAR(track.used(Seconds(0.5), Seconds(1.4))->value, 180.0, 1e-9);
  EXPECT_EQ(track.used(Seconds(1.4), Seconds(1.6)), std::nullopt);
  EXPECT_EQ(track.problem(), "the energy counter has stood still for 1.1 s");
  track.add(counter(2.0, 1400.0));
  EXPECT_NEAR(track.used(Seconds(1.6), Seconds(2.0))->value, 80.0, 1e-9) << "nothing is lost";
}

}  // namespace
}  // namespace thermoe
