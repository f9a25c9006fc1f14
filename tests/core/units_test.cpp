// SPDX-License-Identifier: Apache-2.0
#include "core/units.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace thermoe {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};

TEST(Units, PowerTimesTimeIsEnergy) {
  EXPECT_DOUBLE_EQ((Watts(350.0) * Seconds(2.0)).value, 700.0);
  EXPECT_DOUBLE_EQ((Joules(700.0) / Seconds(2.0)).value, 350.0);
}

TEST(Units, ResistanceTimesPowerIsATemperatureRise) {
  EXPECT_DOUBLE_EQ((KelvinPerWatt(0.05) * Watts(400.0)).value, 20.0);
}

TEST(Units, DifferentUnitsDoNotAdd) {
  static_assert(Addable<Watts, Watts>);
  static_assert(!Addable<Watts, Joules>);
  static_assert(!std::is_convertible_v<double, Watts>);
}

TEST(Units, ARatioOfEqualUnitsIsANumber) {
  static_assert(std::is_same_v<decltype(Watts(1.0) / Watts(2.0)), double>);
  EXPECT_DOUBLE_EQ(Watts(1.0) / Watts(2.0), 0.5);
}

}  // namespace
}  // namespace thermoe
