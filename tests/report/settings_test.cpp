// SPDX-License-Identifier: Apache-2.0
#include "report/settings.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

using nlohmann::json;

TEST(Settings, EveryLeafHasItsPath) {
  const auto all =
      settings(json::parse(R"({"a": {"b": 1.5, "c": "x"}, "d": [true, null], "e": []})"));
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[0].name, "a/b");
  EXPECT_EQ(all[0].value, "1.5");
  EXPECT_EQ(all[1].value, "x");
  EXPECT_EQ(all[2].name, "d/0");
  EXPECT_EQ(all[3].value, "null");
  EXPECT_EQ(all[4].value, "[]");
  EXPECT_TRUE(settings(json()).empty());
}

TEST(Settings, OnlyWhatDiffersIsListedWithBothValues) {
  const auto differing =
      differing_settings(json::parse(R"({"seed": 1, "targets": {"power_w": 350}, "same": "x"})"),
                         json::parse(R"({"seed": 2, "targets": {"step_ms": 9}, "same": "x"})"));
  ASSERT_EQ(differing.size(), 3U);
  EXPECT_EQ(differing[0].name, "seed");
  EXPECT_EQ(differing[0].a, "1");
  EXPECT_EQ(differing[0].b, "2");
  EXPECT_EQ(differing[1].name, "targets/power_w");
  EXPECT_EQ(differing[1].b, "");
  EXPECT_EQ(differing[2].a, "");
}

}  // namespace
}  // namespace thermoe
