// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/duty_cycle.h"

#include <gtest/gtest.h>

#include <array>

#include "core/errors.h"

namespace thermoe {
namespace {

using Kind = TenantWork::Kind;

constexpr DutyCycleOptions kHalfAndHalf{
    .duty = 0.3, .products_unit = Seconds(110e-6), .copies_unit = Seconds(47e-6)};

struct Done {
  Seconds products{}, copies{}, longest{}, at{};
  int bursts = 0;
  Seconds all() const { return products + copies; }
};

/// The bursts of so long, each as long as its units say, `stretch` times where others are there.
Done played(const DutyCycleOptions& options, Seconds length, double stretch = 1.0) {
  DutyCycle cycle(options, Seconds(0));
  Done done;
  Seconds now{};
  while (true) {
    const DutyCycle::Burst burst = cycle.next(now);
    now = std::max(now, burst.at);
    if (now >= length) return done;
    const bool products = burst.kind == Kind::kProducts;
    const Seconds time = burst.units * (products ? options.products_unit : options.copies_unit);
    (products ? done.products : done.copies) += time;
    done.longest = std::max(done.longest, time);
    done.at = burst.at;
    ++done.bursts;
    now += stretch * time;
  }
}

TEST(DutyCycle, BurstsFillTheShareThatIsAskedForExactly) {
  for (const double duty : {0.003, 0.05, 0.3, 0.77, 1.0}) {
    DutyCycleOptions options = kHalfAndHalf;
    options.duty = duty;
    const Done done = played(options, Seconds(20));
    EXPECT_NEAR(done.all().value / 20, duty, 1e-4) << duty;
    EXPECT_LE(done.longest, options.longest_burst + Seconds(1e-12)) << duty;
  }
}

TEST(DutyCycle, TimeIsSharedBetweenProductsAndCopiesAsAskedFor) {
  for (const double share : {0.0, 0.25, 0.5, 0.9, 1.0}) {
    DutyCycleOptions options = kHalfAndHalf;
    options.products_share = share;
    const Done done = played(options, Seconds(20));
    EXPECT_NEAR(done.products / done.all(), share, 1e-3);
  }
}

TEST(DutyCycle, ThePeriodsBurstsAreSpreadOverIt) {
  // 3 ms of each 10, in bursts that with what is left of a unit stay below 1 ms: four.
  DutyCycle cycle(kHalfAndHalf, Seconds(5));
  for (int i = 0; i < 100; ++i) {
    const DutyCycle::Burst burst = cycle.next(Seconds(5));
    EXPECT_NEAR(burst.at.value, 5 + 0.0025 * i, 1e-9);
    EXPECT_EQ(burst.kind, i % 2 == 0 ? Kind::kProducts : Kind::kCopies);
  }
}

TEST(DutyCycle, ASmallDutyWaitsUntilItHasAWholeUnit) {
  DutyCycleOptions options = kHalfAndHalf;
  options.duty = 0.001;  // 10 us a period: a unit of products in 22 of them
  options.products_share = 1.0;
  const Done done = played(options, Seconds(2.2));
  EXPECT_EQ(done.bursts, 20);
  EXPECT_EQ(done.longest, options.products_unit);
}

TEST(DutyCycle, LongUnitsRunOneABurst) {
  DutyCycleOptions options = kHalfAndHalf;
  options.products_unit = Seconds(0.9e-3);
  options.duty = 0.6;
  const Done done = played(options, Seconds(10));
  EXPECT_NEAR(done.all().value / 10, 0.6, 1e-3);
  EXPECT_LE(done.longest, options.longest_burst);
}

TEST(DutyCycle, BesideOthersItAsksForTheSameWork) {
  const Done alone = played(kHalfAndHalf, Seconds(10));
  const Done beside = played(kHalfAndHalf, Seconds(10), 2.5);
  EXPECT_NEAR(beside.all() / alone.all(), 1.0, 1e-3) << "bursts that take longer leave time enough";
}

TEST(DutyCycle, ABacklogOfMoreThanAPeriodIsDropped) {
  DutyCycle cycle(kHalfAndHalf, Seconds(0));
  EXPECT_EQ(cycle.next(Seconds(0)).at, Seconds(0));
  EXPECT_NEAR(cycle.next(Seconds(0.009)).at.value, 0.0025, 1e-9) << "late, not forgotten";
  EXPECT_EQ(cycle.next(Seconds(1)).at, Seconds(1));
  EXPECT_EQ(cycle.dropped(), 398);
  EXPECT_NEAR(cycle.next(Seconds(1)).at.value, 1.0025, 1e-9);
  const Done hopeless = played(kHalfAndHalf, Seconds(10), 10.0);
  EXPECT_LT(hopeless.at, Seconds(10)) << "it goes on where it never keeps up";
}

TEST(DutyCycle, WhatCannotBeIsRefused) {
  const auto with = [](auto change) {
    DutyCycleOptions options = kHalfAndHalf;
    change(options);
    DutyCycle(options, Seconds(0));
  };
  EXPECT_THROW(with([](auto& o) { o.duty = 0.0; }), PreconditionError);
  EXPECT_THROW(with([](auto& o) { o.duty = 1.01; }), PreconditionError);
  EXPECT_THROW(with([](auto& o) { o.products_share = -0.1; }), PreconditionError);
  EXPECT_THROW(with([](auto& o) { o.copies_unit = Seconds(0); }), PreconditionError);
  EXPECT_THROW(with([](auto& o) { o.products_unit = Seconds(0.0011); }), PreconditionError);
  EXPECT_NO_THROW(with([](auto& o) {
    o.products_unit = Seconds(0.0011);
    o.products_share = 0.0;
  })) << "a kind that it does not have may be slow";
}

}  // namespace
}  // namespace thermoe
