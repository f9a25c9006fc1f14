// SPDX-License-Identifier: Apache-2.0
#include "monitor/published_snapshots.h"

#include <gmock/gmock.h>

#include "metrics/exposition.h"

namespace thermoe {
namespace {

using testing::HasSubstr;
using testing::Not;

class PublishedSnapshotsTest : public ::testing::Test {
 protected:
  /// A poll of two GPUs at this time; the counters are read in it or not.
  static std::vector<LabelledSnapshot> poll(Seconds at, std::optional<Joules> counter) {
    Snapshot snapshot{.at = at};
    for (const unsigned index : {0U, 3U}) {
      GpuReading gpu{.index = index,
                     .power_average = {.value = Watts(100.0 + index), .read_at = at}};
      if (counter) gpu.energy = {.value = *counter + Joules(index), .read_at = at};
      snapshot.gpus.push_back(gpu);
    }
    return {{.source = "NVML", .snapshot = snapshot}};
  }
  std::string page() const { return exposition(board_.collect(), ExpositionFormat::kText); }

  VirtualClock clock_{};
  MetricsBoard board_{{.version = "0", .hostname = ""}, clock_};
  PublishedSnapshots published_{&board_, Seconds(0.1)};
};

TEST_F(PublishedSnapshotsTest, ACounterThatIsReadNowAndThenStaysUntilItIsOld) {
  published_.publish(poll(Seconds(10.0), Joules(500.0)));
  published_.publish(poll(Seconds(10.9), std::nullopt));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_energy_joules_total{gpu=\"0\"} 500\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_energy_joules_total{gpu=\"3\"} 503\n"));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_power_watts{gpu=\"3\"} 103\n"));
  published_.publish(poll(Seconds(15.5), std::nullopt));
  EXPECT_THAT(page(), Not(HasSubstr("energy")));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_power_watts"));
}

TEST_F(PublishedSnapshotsTest, ACounterThatBeganAnewIsShownAsItIs) {
  published_.publish(poll(Seconds(10.0), Joules(500.0)));
  published_.publish(poll(Seconds(11.0), Joules(2.0)));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_energy_joules_total{gpu=\"0\"} 2\n"));
}

TEST_F(PublishedSnapshotsTest, AValueThatCannotBeIsNotReplacedByAnOlderOne) {
  published_.publish(poll(Seconds(10.0), Joules(500.0)));
  std::vector<LabelledSnapshot> rejected = poll(Seconds(10.1), std::nullopt);
  rejected[0].snapshot.gpus[0].energy = {.read_at = Seconds(10.0), .rejected = true};
  published_.publish(rejected);
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_energy_joules_total{gpu=\"0\"}")));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_energy_joules_total{gpu=\"3\"} 503\n"));
}

TEST_F(PublishedSnapshotsTest, AMonitorThatReadsSeldomKeepsItsReadingsUntilTheNextAreDue) {
  PublishedSnapshots seldom(&board_, Seconds(60.0));
  seldom.publish(poll(Seconds(10.0), std::nullopt));
  clock_.advance_to(Seconds(100.0));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_power_watts"));
  clock_.advance_to(Seconds(181.0));
  EXPECT_THAT(page(), Not(HasSubstr("thermoe_gpu_power_watts")));
}

}  // namespace
}  // namespace thermoe
