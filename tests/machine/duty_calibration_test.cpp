// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/duty_calibration.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Watts kIdle{120};
constexpr Watts kLimit{700};

/// A GPU whose power depends on the duty as `added` says, and how long it was measured.
struct Meter {
  std::function<double(double)> added;
  Seconds measured{};
  std::vector<double> duties{};

  PowerAtDuty power() {
    return [this](double duty, Seconds length) {
      measured += length + Seconds(0.7);  // to settle, and for the counter to move
      duties.push_back(duty);
      return kIdle + Watts(duty > 0.0 ? added(duty) : 0.0);
    };
  }
};

TEST(DutyCalibration, ALinearLoadIsFoundByOneSecant) {
  Meter meter{.added = [](double duty) { return 480 * duty; }};
  const DutyCalibration found = calibrate_duty(0.2, kLimit, meter.power());
  EXPECT_EQ(found.idle, kIdle);
  EXPECT_EQ(found.limit, kLimit);
  EXPECT_NEAR(found.wanted.value, 0.2 * 580, 1e-9);
  EXPECT_NEAR(found.added.value, 116, 1.5);
  EXPECT_NEAR(found.duty, 116.0 / 480, 0.004);
  EXPECT_EQ(meter.duties.size(), 4U) << "idle, guess, secant, and the last once more";
}

TEST(DutyCalibration, ASaturatingLoadIsFoundInTime) {
  for (const double fraction : {0.05, 0.3, 0.6, 0.75}) {
    Meter meter{.added = [](double duty) { return 520 * (1 - std::exp(-2.5 * duty)); }};
    const DutyCalibration found = calibrate_duty(fraction, kLimit, meter.power());
    const double near = std::max(1.0, 0.01 * found.wanted.value);
    EXPECT_NEAR(found.added.value, found.wanted.value, 1.1 * near) << fraction;
    EXPECT_LT(meter.measured, Seconds(20)) << fraction;
  }
}

TEST(DutyCalibration, ALoadThatAddsMuchAtOnceIsFoundToo) {
  // Clocks that come up with the first burst.
  Meter meter{.added = [](double duty) { return 60 + 400 * duty; }};
  EXPECT_NEAR(calibrate_duty(0.2, kLimit, meter.power()).added.value, 116, 1.5);
}

TEST(DutyCalibration, ANoisyMeterIsMetWithinItsNoise) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0.0, 2.0);
  for (int i = 0; i < 50; ++i) {
    Meter meter{.added = [&](double duty) { return 450 * duty + noise(random); }};
    const DutyCalibration found = calibrate_duty(0.25, kLimit, meter.power());
    EXPECT_NEAR(450 * found.duty, 145, 8);
    EXPECT_LT(meter.measured, Seconds(20));
  }
}

TEST(DutyCalibration, MoreThanFullDutyAddsIsRefusedWithWhatCanBeHad) {
  Meter meter{.added = [](double duty) { return 290 * duty; }};
  try {
    calibrate_duty(0.8, kLimit, meter.power());
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "--power-fraction 0.8: is 464 W above the 120 W of the idle GPU (limit 700 W), "
                 "but without a pause the load adds only 290 W; give 0.50 or less");
  }
  EXPECT_NO_THROW(calibrate_duty(0.5, kLimit, meter.power()));
}

TEST(DutyCalibration, ALoadThatAddsNothingIsRefused) {
  Meter meter{.added = [](double) { return -1.0; }};
  EXPECT_THROW(calibrate_duty(0.2, kLimit, meter.power()), UsageError);
}

TEST(DutyCalibration, AGpuThatIsAtItsLimitAlreadyIsRefused) {
  Meter meter{.added = [](double duty) { return duty; }};
  EXPECT_THROW(calibrate_duty(0.2, Watts(100), meter.power()), UsageError);
}

}  // namespace
}  // namespace thermoe
