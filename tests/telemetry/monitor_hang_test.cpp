// SPDX-License-Identifier: Apache-2.0
// A GpuSystemMonitor whose source does not return.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "bounded_wait.h"
#include "scripted_source.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {
namespace {

/// A source whose first poll answers and whose second hangs until it is told to go on, or until the
/// test has waited long enough.
class HangingSource final : public Source {
 public:
  struct Story {
    std::promise<void> hanging, go_on, destroyed;
    std::promise<Seconds> went_on;  // at the time that the poll was told
  };
  explicit HangingSource(std::shared_ptr<Story> story) : story_(std::move(story)) {}
  ~HangingSource() override { story_->destroyed.set_value(); }
  std::string_view name() const override { return "hanging"; }

 private:
  Snapshot poll(Seconds now) override {
    if (++polls_ == 2) {
      story_->hanging.set_value();
      (void)is_kept(story_->go_on);
      story_->went_on.set_value(now);
    }
    return power_reading(100.0 * polls_);
  }

  const std::shared_ptr<Story> story_;  // also the test's
  int polls_ = 0;
};

TEST(GpuSystemMonitorHang, NobodyWaitsForAPollThatHangsAndAgesGrow) {
  VirtualClock clock;
  const auto story = std::make_shared<HangingSource::Story>();
  GpuSystemMonitor monitor(std::make_unique<HangingSource>(story), clock,
                           {.period = Seconds(0.0005)});
  EXPECT_EQ(monitor.poll_under_way(), std::nullopt);
  monitor.start();
  ASSERT_TRUE(is_kept(story->hanging));
  clock.advance_to(Seconds(2.25));
  EXPECT_EQ(monitor.poll_under_way(), Seconds(2.25));
  const Reading<Watts> power = monitor.latest().gpus.at(0).power_instant;
  EXPECT_EQ(power.value, Watts(100.0));
  EXPECT_EQ(power.age(clock.now()), Seconds(2.25));
  EXPECT_EQ(monitor.error(), std::nullopt);
  EXPECT_EQ(monitor.history().size(), 1U);
  story->go_on.set_value();
  ASSERT_TRUE(
      comes_true([&] { return monitor.latest().gpus.at(0).power_instant.value >= Watts(200.0); }));
  EXPECT_GE(monitor.latest().at, Seconds(2.25));
}

TEST(GpuSystemMonitorHang, LeavesAPollThatNeverReturnsBehindAtItsEnd) {
  auto clock = std::make_unique<VirtualClock>();
  clock->advance_to(Seconds(7.5));
  const auto story = std::make_shared<HangingSource::Story>();
  {
    GpuSystemMonitor monitor(std::make_unique<HangingSource>(story), *clock,
                             {.period = Seconds(0.0005), .patience = Seconds(0.01)});
    monitor.start();
    ASSERT_TRUE(is_kept(story->hanging));
  }  // a monitor that waited for its thread would hang here
  // If the poll does return one day, it finds neither monitor nor clock and misses neither: the
  // source knows the time from its call.
  clock.reset();
  story->go_on.set_value();
  auto went_on = story->went_on.get_future();
  ASSERT_EQ(went_on.wait_for(kLongestWait), std::future_status::ready);
  EXPECT_EQ(went_on.get(), Seconds(7.5));
  EXPECT_TRUE(is_kept(story->destroyed));
}

TEST(GpuSystemMonitorHang, WaitsPatientlyForAPollThatReturnsInTime) {
  VirtualClock clock;
  const auto story = std::make_shared<HangingSource::Story>();
  auto monitor = std::make_unique<GpuSystemMonitor>(
      std::make_unique<HangingSource>(story), clock,
      MonitorOptions{.period = Seconds(0.0005), .patience = Seconds(3600.0)});
  monitor->start();
  ASSERT_TRUE(is_kept(story->hanging));
  std::jthread driver([&] { story->go_on.set_value(); });
  monitor.reset();
  // Joined, not left behind: the source is gone by now.
  EXPECT_EQ(story->destroyed.get_future().wait_for(std::chrono::seconds(0)),
            std::future_status::ready);
}

}  // namespace
}  // namespace thermoe
