// SPDX-License-Identifier: Apache-2.0
#include "core/turn_name.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

TEST(TurnName, IsReadBackAsItWasMade) {
  for (const int round : {1, 2, 100}) {
    const TurnName turn = turn_named(to_string(TurnName{.strategy = "REDUCED_K", .round = round}));
    EXPECT_EQ(turn.strategy, "REDUCED_K");
    EXPECT_EQ(turn.round, round);
  }
  EXPECT_EQ(to_string(TurnName{.strategy = "REDUCED_K"}), "REDUCED_K");
}

TEST(TurnName, AnyOtherNameIsAStrategysOwn) {
  for (const char* name : {"", "X #", "X #1", "X #-2", "X #2b", "X #99999999999", "X#2"}) {
    const TurnName turn = turn_named(name);
    EXPECT_EQ(turn.strategy, name);
    EXPECT_EQ(turn.round, 1);
  }
}

}  // namespace
}  // namespace thermoe
