// SPDX-License-Identifier: Apache-2.0
#include "telemetry/combined_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Snapshot host_reading(double watts) {
  HostReading package{.name = "RAPL package-0"};
  package.power.value = Watts(watts);
  return {.host = {package}};
}

/// Of two scripted parts, either of which a test may break.
class CombinedSourceTest : public ::testing::Test {
 protected:
  CombinedSource source() {
    std::vector<std::unique_ptr<Source>> parts;
    parts.push_back(std::make_unique<ScriptedSource>([this] {
      if (host_broken_) throw TelemetryError("no RAPL");
      return host_reading(90.0);
    }));
    parts.push_back(std::make_unique<ScriptedSource>([this] {
      if (gpu_broken_) throw TelemetryError("the device fell off the bus");
      Snapshot snapshot = power_reading(300.0);
      snapshot.gpus[0].name = "H100";
      snapshot.problems = {"a sentence"};
      return snapshot;
    }));
    return CombinedSource(std::move(parts));
  }

  bool host_broken_ = false;
  bool gpu_broken_ = false;
};

TEST_F(CombinedSourceTest, ShowsAllPartsAndJoinsNamesAndProblems) {
  CombinedSource both = source();
  EXPECT_EQ(both.name(), "scripted + scripted");
  const Snapshot snapshot = both.read();
  EXPECT_EQ(snapshot.host.at(0).power.value, Watts(90.0));
  EXPECT_EQ(snapshot.gpus.at(0).power_instant.value, Watts(300.0));
  EXPECT_THAT(snapshot.problems, ElementsAre("a sentence"));
}

TEST_F(CombinedSourceTest, AFailingPartKeepsItsPlaceAndSilencesNoOther) {
  CombinedSource both = source();
  both.read();
  gpu_broken_ = true;
  const Snapshot snapshot = both.read();
  EXPECT_EQ(snapshot.host.at(0).power.value, Watts(90.0));
  EXPECT_EQ(snapshot.gpus.at(0).name, "H100");
  EXPECT_EQ(snapshot.gpus.at(0).power_instant.value, std::nullopt);
  EXPECT_THAT(snapshot.problems, ElementsAre("scripted: the device fell off the bus"));
  gpu_broken_ = false;
  EXPECT_EQ(both.read().gpus.at(0).power_instant.value, Watts(300.0));
}

TEST_F(CombinedSourceTest, APartThatNeverWorkedShowsNothingButItsProblem) {
  host_broken_ = true;
  CombinedSource both = source();
  const Snapshot snapshot = both.read();
  EXPECT_THAT(snapshot.host, IsEmpty());
  EXPECT_EQ(snapshot.gpus.size(), 1U);
  EXPECT_THAT(snapshot.problems, ElementsAre("scripted: no RAPL", "a sentence"));
}

TEST_F(CombinedSourceTest, ThrowsWithEveryMessageWhenAllPartsFail) {
  host_broken_ = gpu_broken_ = true;
  CombinedSource both = source();
  try {
    both.read();
    FAIL() << "read() must throw";
  } catch (const TelemetryError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("no RAPL"), HasSubstr("fell off the bus")));
  }
}

TEST(CombinedSource, NoPartsAndANullPartAreRefused) {
  EXPECT_THROW(CombinedSource({}), PreconditionError);
  std::vector<std::unique_ptr<Source>> parts(1);
  EXPECT_THROW(CombinedSource(std::move(parts)), PreconditionError);
}

}  // namespace
}  // namespace thermoe
