// SPDX-License-Identifier: Apache-2.0
#include "core/readable.h"

#include <gmock/gmock.h>

#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::ElementsAre;

TEST(DoctorReadable, AKeysValueStandsBehindItsColon) {
  const std::string text = "a: 1\nmodel name\t: X Y\nempty:\nlast: z";
  EXPECT_EQ(value_of(text, "a"), "1");
  EXPECT_EQ(value_of(text, "model name"), "X Y");
  EXPECT_EQ(value_of(text, "empty"), "");
  EXPECT_EQ(value_of(text, "last"), "z");
  EXPECT_EQ(value_of(text, "model"), std::nullopt);
  EXPECT_EQ(value_of("", "a"), std::nullopt);
}

TEST(DoctorReadable, NamesAreInTheOrderOfTheirNumbers) {
  FakeSystem fake;
  for (const char* name : {"/v/2024.10.1", "/v/2024.9.2", "/v/2023.4", "/v/alpha"}) {
    fake.file(name, "");
  }
  EXPECT_THAT(names_in(fake.path("/v")), ElementsAre("2023.4", "2024.9.2", "2024.10.1", "alpha"));
  EXPECT_TRUE(names_in(fake.path("/absent")).empty());
  EXPECT_TRUE(natural_less("cuda-9.2", "cuda-13.0"));
  EXPECT_FALSE(natural_less("cuda-13.0", "cuda-9.2"));
  EXPECT_TRUE(natural_less("cuda", "cuda-9.2"));
  EXPECT_FALSE(natural_less("same", "same"));
  EXPECT_NE(natural_less("a01", "a1"), natural_less("a1", "a01"));
}

TEST(DoctorReadable, TheFirstVersionIsTaken) {
  EXPECT_EQ(first_version("nsys version 2024.5.1.113-2451v0"), "2024.5.1.113");
  EXPECT_EQ(first_version("ends with a stop 13.0."), "13.0");
  EXPECT_EQ(first_version("7"), "7");
  EXPECT_EQ(first_version("no number"), std::nullopt);
  EXPECT_EQ(first_version("", 0), std::nullopt);
}

TEST(DoctorReadable, VersionsAreNumbers) {
  EXPECT_THAT(version_numbers("13.0.88"), ElementsAre(13, 0, 88));
  EXPECT_THAT(version_numbers("2.11.0+cu130"), ElementsAre(2, 11, 0));
  EXPECT_THAT(version_numbers("99999999999999999999.1"), ElementsAre(99'999'999, 1));
  EXPECT_TRUE(version_numbers("unknown").empty());
}

}  // namespace
}  // namespace thermoe::doctor
