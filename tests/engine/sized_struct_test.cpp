// SPDX-License-Identifier: Apache-2.0
#include "engine/sized_struct.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermoe {
namespace {

/// A struct as this library knows it, as it began, and as a later version will have it.
struct Now {
  std::size_t size;
  double first;
  double second;
};
struct Then {
  std::size_t size;
  double first;
};
struct Later {
  std::size_t size;
  double first;
  double second;
  double third;
};
constexpr std::size_t kFirst = sizeof(Then);

Now read(const void* given) {
  return read_sized(static_cast<const Now*>(given), kFirst, "example");
}

TEST(SizedStruct, OfAnOlderProgramWhatItDoesNotHaveCountsAsZero) {
  const Then then{sizeof then, 1.5};
  const Now now = read(&then);
  EXPECT_EQ(now.first, 1.5);
  EXPECT_EQ(now.second, 0.0);
}

TEST(SizedStruct, OfANewerProgramTheRestMayBeZero) {
  const Later later{sizeof later, 1.5, 2.5, 0.0};
  const Now now = read(&later);
  EXPECT_EQ(now.second, 2.5);
}

TEST(SizedStruct, WhatANewerProgramAsksForInVainIsRefused) {
  const Later later{sizeof later, 1.5, 2.5, 3.5};
  try {
    read(&later);
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("example has 32 bytes"));
    EXPECT_THAT(e.what(), testing::HasSubstr("this library knows 24 of them"));
    EXPECT_THAT(e.what(), testing::HasSubstr("install a newer one"));
  }
}

TEST(SizedStruct, ASizeThatNoVersionHadIsRefused) {
  for (const std::size_t size : {std::size_t{0}, kFirst - 1, std::size_t{1} << 40}) {
    const Now now{size, 1.0, 2.0};
    EXPECT_THROW(read(&now), UsageError) << size;
  }
  EXPECT_THROW(read(nullptr), UsageError);
}

TEST(SizedStruct, WritesNoByteBeyondAnOlderProgramsStruct) {
  struct {
    Then then{sizeof(Then), 0.0};
    double beyond = 7.0;
  } memory;
  write_sized(reinterpret_cast<Now*>(&memory.then), Now{0, 1.5, 2.5}, kFirst, "example");
  EXPECT_EQ(memory.then.first, 1.5);
  EXPECT_EQ(memory.then.size, sizeof(Then));
  EXPECT_EQ(memory.beyond, 7.0);
}

TEST(SizedStruct, WhatANewerProgramCouldTakeIsZeroed) {
  Later later{sizeof later, 0.0, 0.0, 9.0};
  write_sized(reinterpret_cast<Now*>(&later), Now{0, 1.5, 2.5}, kFirst, "example");
  EXPECT_EQ(later.second, 2.5);
  EXPECT_EQ(later.third, 0.0);
  EXPECT_EQ(later.size, sizeof later);
}

}  // namespace
}  // namespace thermoe
