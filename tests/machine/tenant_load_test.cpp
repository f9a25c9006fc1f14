// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/tenant_load.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "bounded_wait.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// A device on which work takes its time and does nothing.
class SleepingWork final : public TenantWork {
 public:
  explicit SleepingWork(std::atomic<int>& units, Seconds unit = Seconds(1e-4), int fails_after = -1)
      : units_(units), unit_(unit), fails_after_(fails_after) {}
  Seconds run(Kind kind, int units) override {
    if (fails_after_ >= 0 && units_ > fails_after_) throw Error("the device has gone");
    units_ += units;
    kinds_[static_cast<int>(kind)] += units;
    const Seconds time = units * unit_;
    std::this_thread::sleep_for(std::chrono::duration<double>(time.value));
    return time;
  }

 private:
  std::atomic<int>& units_;
  Seconds unit_;
  int fails_after_;
  int kinds_[2]{};
};

class Load : public testing::Test {
 protected:
  TenantLoad load(Seconds unit = Seconds(1e-4), int fails_after = -1) {
    return TenantLoad(
        [=, this] { return std::make_unique<SleepingWork>(units_, unit, fails_after); }, clock_,
        {.warm_up = Seconds(0.001)});
  }

  SteadyClock clock_;
  std::atomic<int> units_{0};
};

TEST_F(Load, RestsUntilItIsToldToWorkAndAgainWhenToldSo) {
  TenantLoad tenant = load();
  const int timed = units_;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(units_, timed) << "no burst before it is told to";
  EXPECT_EQ(tenant.tally().working, Seconds(0));
  tenant.set_duty(0.5);
  EXPECT_TRUE(comes_true([&] { return tenant.tally().bursts > 20; }));
  tenant.set_duty(0.0);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const int done = units_;
  const TenantTally before = tenant.tally();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(units_, done + 10) << "the burst under way at most";
  EXPECT_EQ(tenant.tally().working, before.working);
}

TEST_F(Load, TalliesTheShareOfTheTimeThatItsBurstsTook) {
  TenantLoad tenant = load();
  const int timed = units_;
  tenant.set_duty(0.2);
  EXPECT_TRUE(comes_true([&] { return tenant.tally().working > Seconds(0.5); }));
  const int before = units_ - timed;
  const TenantTally tally = tenant.tally();
  const int after = units_ - timed;
  // A busy machine runs fewer bursts; none runs more.
  EXPECT_LE(tally.achieved_duty(), 0.22);
  EXPECT_GT(tally.achieved_duty(), 0.0);
  EXPECT_LE(tally.longest, Seconds(1.0001e-3));
  EXPECT_GE(tally.busy.value, 1e-4 * (before - 10) - 1e-9) << "but for the burst under way";
  EXPECT_LE(tally.busy.value, 1e-4 * after + 1e-9);
}

TEST_F(Load, TheDifferenceOfTwoTalliesIsWhatWasDoneBetween) {
  const TenantTally early{.working = Seconds(1), .busy = Seconds(0.2), .bursts = 10, .late = 1};
  const TenantTally late{.working = Seconds(3),
                         .busy = Seconds(0.8),
                         .longest = Seconds(0.001),
                         .bursts = 40,
                         .late = 5,
                         .dropped = 2};
  const TenantTally between = late - early;
  EXPECT_EQ(between.working, Seconds(2));
  EXPECT_NEAR(between.achieved_duty(), 0.3, 1e-12);
  EXPECT_EQ(between.bursts, 30U);
  EXPECT_EQ(between.late, 4U);
  EXPECT_EQ(between.dropped, 2U);
  EXPECT_EQ(between.longest, Seconds(0.001));
}

TEST_F(Load, ADutyThatIsNoneIsRefused) {
  TenantLoad tenant = load();
  EXPECT_THROW(tenant.set_duty(1.5), PreconditionError);
  EXPECT_THROW(tenant.set_duty(-0.1), PreconditionError);
}

TEST_F(Load, ADeviceTooSlowForShortBurstsIsRefusedWithTheRemedy) {
  try {
    load(Seconds(2e-3));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("a unit of work takes 2.00 ms"));
    EXPECT_THAT(error.what(), testing::HasSubstr("end what else runs on it"));
  }
}

TEST_F(Load, WhatTheDeviceRefusesAtTheStartIsSaidAtOnce) {
  EXPECT_THROW(
      TenantLoad([]() -> std::unique_ptr<TenantWork> { throw UsageError("no room"); }, clock_, {}),
      UsageError);
}

TEST_F(Load, ADeviceThatGoesLaterIsSaidByTheTally) {
  TenantLoad tenant = load(Seconds(1e-4), 400);
  tenant.set_duty(1.0);
  EXPECT_TRUE(comes_true([&] {
    try {
      tenant.tally();
      return false;
    } catch (const Error& error) {
      return std::string(error.what()) == "the device has gone";
    }
  }));
}

}  // namespace
}  // namespace thermoe
