// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_system_monitor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>

#include "bounded_wait.h"
#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

TEST(GpuSystemMonitor, IsEmptyBeforeTheFirstPoll) {
  const VirtualClock clock;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([] { return power_reading(1.0); }),
                           clock);
  EXPECT_TRUE(monitor.latest().gpus.empty());
  EXPECT_TRUE(monitor.history().empty());
  EXPECT_EQ(monitor.error(), std::nullopt);
}

TEST(GpuSystemMonitor, AFrozenSensorIsSeenByChangedAtAndASilentOneByReadAt) {
  VirtualClock clock;
  std::optional<double> watts = 300.0;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             Snapshot s = power_reading(0.0);
                             s.gpus[0].power_instant.value.reset();
                             if (watts) s.gpus[0].power_instant.value = Watts(*watts);
                             return s;
                           }),
                           clock);
  const auto poll_at = [&](double t) {
    clock.advance_to(Seconds(t));
    monitor.poll();
    return monitor.latest().gpus.at(0).power_instant;
  };
  poll_at(1.0);
  watts = 310.0;
  poll_at(2.0);
  const Reading<Watts> frozen = poll_at(5.0);
  EXPECT_EQ(frozen.age(clock.now()), Seconds(0.0));
  EXPECT_EQ(frozen.unchanged_for(clock.now()), Seconds(3.0));
  watts.reset();
  const Reading<Watts> silent = poll_at(9.0);
  EXPECT_EQ(silent.value, std::nullopt);
  EXPECT_EQ(silent.age(clock.now()), Seconds(4.0));
  watts = 310.0;
  EXPECT_EQ(poll_at(10.0).age(clock.now()), Seconds(0.0));
}

TEST(GpuSystemMonitor, SurvivesASourceThatThrowsAndRecovers) {
  VirtualClock clock;
  bool broken = false;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             if (broken) throw TelemetryError("the device fell off the bus");
                             return power_reading(200.0);
                           }),
                           clock);
  clock.advance_to(Seconds(1.0));
  monitor.poll();
  broken = true;
  clock.advance_to(Seconds(4.0));
  EXPECT_NO_THROW(monitor.poll());
  EXPECT_EQ(monitor.error(), "the device fell off the bus");
  EXPECT_EQ(monitor.failed_polls(), 1U);
  const Reading<Watts> kept = monitor.latest().gpus.at(0).power_instant;
  EXPECT_EQ(kept.value, Watts(200.0));
  EXPECT_EQ(kept.age(clock.now()), Seconds(3.0));
  broken = false;
  monitor.poll();
  EXPECT_EQ(monitor.error(), std::nullopt);
  EXPECT_EQ(monitor.latest().at, Seconds(4.0));
}

TEST(GpuSystemMonitor, InfinityAndNanAreRejectedSensorBySensor) {
  const VirtualClock clock;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([] {
                             Snapshot s = power_reading(std::numeric_limits<double>::infinity());
                             s.gpus[0].temperature.value = Celsius(std::nan(""));
                             s.gpus[0].gpu_utilisation.value = 0.5;
                             return s;
                           }),
                           clock);
  monitor.poll();
  const GpuReading gpu = monitor.latest().gpus.at(0);
  EXPECT_EQ(gpu.power_instant.value, std::nullopt);
  EXPECT_EQ(gpu.temperature.value, std::nullopt);
  EXPECT_EQ(gpu.gpu_utilisation.value, 0.5);
  EXPECT_EQ(monitor.rejected_readings(), 2U);
}

TEST(GpuSystemMonitor, KeepsSeveralGpusApart) {
  VirtualClock clock;
  double second = 100.0;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             Snapshot s = power_reading(300.0);
                             s.gpus.push_back(power_reading(second).gpus[0]);
                             s.gpus.back().index = 1;
                             return s;
                           }),
                           clock);
  clock.advance_to(Seconds(1.0));
  monitor.poll();
  second = 120.0;
  clock.advance_to(Seconds(2.0));
  monitor.poll();
  const Snapshot latest = monitor.latest();
  ASSERT_EQ(latest.gpus.size(), 2U);
  EXPECT_EQ(latest.gpus[0].power_instant.changed_at, Seconds(1.0));
  EXPECT_EQ(latest.gpus[1].power_instant.changed_at, Seconds(2.0));
}

TEST(GpuSystemMonitor, TheHistoryIsARingOldestFirst) {
  VirtualClock clock;
  GpuSystemMonitor monitor(
      std::make_unique<ScriptedSource>([&] { return power_reading(clock.now().value); }), clock,
      {.history = 3});
  for (int i = 1; i <= 5; ++i) {
    clock.advance_to(Seconds(i));
    monitor.poll();
  }
  const auto history = monitor.history();
  ASSERT_EQ(history.size(), 3U);
  EXPECT_EQ(history.front().at, Seconds(3.0));
  EXPECT_EQ(history.back().at, Seconds(5.0));
}

TEST(GpuSystemMonitor, AGpuIsKnownByItsUuidThoughItsPlaceChanged) {
  VirtualClock clock;
  std::vector<std::string> order{"A", "B"};
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             Snapshot s;
                             for (const std::string& uuid : order) {
                               s.gpus.push_back(power_reading(uuid == "A" ? 100.0 : 200.0).gpus[0]);
                               s.gpus.back().uuid = uuid;
                             }
                             return s;
                           }),
                           clock);
  clock.advance_to(Seconds(1.0));
  monitor.poll();
  order = {"C", "B", "A"};
  clock.advance_to(Seconds(2.0));
  monitor.poll();
  const Snapshot latest = monitor.latest();
  EXPECT_EQ(latest.gpus.at(0).power_instant.changed_at, Seconds(2.0));  // new
  EXPECT_EQ(latest.gpus.at(1).power_instant.changed_at, Seconds(1.0));
  EXPECT_EQ(latest.gpus.at(2).power_instant.changed_at, Seconds(1.0));
}

TEST(GpuSystemMonitor, StampsTheHostsSensorsByTheirNames) {
  VirtualClock clock;
  std::vector<HostReading> host(2);
  host[0].name = "RAPL package-0";
  host[0].power.value = Watts(90.0);
  host[1].name = "k10temp Tctl";
  host[1].temperature.value = Celsius(std::nan(""));
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] { return Snapshot{.host = host}; }),
                           clock);
  clock.advance_to(Seconds(1.0));
  monitor.poll();
  std::swap(host[0], host[1]);
  clock.advance_to(Seconds(2.0));
  monitor.poll();
  const Snapshot latest = monitor.latest();
  EXPECT_EQ(latest.host.at(1).power.read_at, Seconds(2.0));
  EXPECT_EQ(latest.host.at(1).power.changed_at, Seconds(1.0));
  EXPECT_TRUE(latest.host.at(0).temperature.rejected);
  EXPECT_EQ(latest.host.at(0).temperature.value, std::nullopt);
  EXPECT_EQ(monitor.rejected_readings(), 2U);
}

TEST(GpuSystemMonitor, StampsPowerLimitAndMemoryClock) {
  VirtualClock clock;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([] {
                             Snapshot s = power_reading(1.0);
                             s.gpus[0].power_limit.value = Watts(700.0);
                             s.gpus[0].memory_clock.value = Megahertz(2619.0);
                             return s;
                           }),
                           clock);
  clock.advance_to(Seconds(4.0));
  monitor.poll();
  EXPECT_EQ(monitor.latest().gpus.at(0).power_limit.read_at, Seconds(4.0));
  EXPECT_EQ(monitor.latest().gpus.at(0).memory_clock.read_at, Seconds(4.0));
}

/// A clock that counts how often it is asked.
class CountingClock final : public Clock {
 public:
  Seconds now() const override { return Seconds(++reads_); }
  WallTime wall_time() const override { return {}; }
  int reads() const { return reads_; }

 private:
  mutable int reads_ = 0;
};

TEST(GpuSystemMonitor, ReadsItsClockBeforeItCallsTheSourceAndNotDuringThePoll) {
  class TimedSource final : public Source {
   public:
    explicit TimedSource(const CountingClock& clock) : clock_(clock) {}
    std::string_view name() const override { return "timed"; }

   private:
    Snapshot poll(Seconds now) override {
      EXPECT_EQ(now, Seconds(clock_.reads()));  // told, and not asked again since
      return power_reading(100.0);
    }

    const CountingClock& clock_;
  };
  const CountingClock clock;
  GpuSystemMonitor monitor(std::make_unique<TimedSource>(clock), clock);
  monitor.poll();
  monitor.poll();
  EXPECT_EQ(clock.reads(), 4);  // where each poll began and where it ended
}

TEST(GpuSystemMonitor, TheTimeOfDayIsTakenAtEachSnapshotAndMayStepWhileItsTimeGrows) {
  VirtualClock clock;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([] { return power_reading(1.0); }),
                           clock);
  const WallTime noon = WallTime(std::chrono::hours(12));
  const auto poll_at = [&](double t, WallTime time) {
    clock.advance_to(Seconds(t));
    clock.set_wall_time(time);
    monitor.poll();
  };
  poll_at(1.0, noon);
  poll_at(1.1, noon + std::chrono::hours(8));         // a night's suspend
  poll_at(1.2, noon + std::chrono::minutes(7 * 60));  // NTP sets it back
  const auto history = monitor.history();
  ASSERT_EQ(history.size(), 3U);
  EXPECT_EQ(history[0].wall_time, noon);
  EXPECT_EQ(history[1].wall_time, noon + std::chrono::hours(8));
  EXPECT_EQ(history[2].wall_time, noon + std::chrono::hours(7));
  EXPECT_EQ(history[2].at, Seconds(1.2));
}

// The remaining tests run real threads: they are what ThreadSanitizer watches.

TEST(GpuSystemMonitor, ABackgroundThreadPollsWhileOthersRead) {
  const SteadyClock clock;
  std::atomic<int> polls = 0;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             if (++polls % 5 == 0) throw TelemetryError("now and then");
                             return power_reading(polls);
                           }),
                           clock, {.period = Seconds(0.0005), .history = 8});
  monitor.start();
  monitor.start();  // does nothing
  std::vector<std::jthread> readers;
  readers.reserve(3);
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      const bool all_polled = comes_true([&] {
        const Snapshot latest = monitor.latest();
        const auto history = monitor.history();
        EXPECT_LE(history.size(), 8U);
        if (!latest.gpus.empty()) {
          EXPECT_GE(latest.gpus[0].power_instant.value->value, 1.0);
        }
        (void)monitor.error();
        return polls >= 50;
      });
      EXPECT_TRUE(all_polled);
    });
  }
  monitor.poll();  // by hand beside the thread
  readers.clear();
  EXPECT_GE(polls, 50);
  EXPECT_GE(monitor.failed_polls(), 1U);
}

TEST(GpuSystemMonitor, APollThatIsAskedForDoesNotWaitForItsTurn) {
  const SteadyClock clock;
  std::atomic<int> polls = 0;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] { return power_reading(++polls); }),
                           clock, {.period = Seconds(1e6)});
  monitor.start();
  ASSERT_TRUE(comes_true([&] { return polls == 1; }));
  monitor.poll_soon();
  EXPECT_TRUE(comes_true([&] { return polls == 2; }));
}

TEST(GpuSystemMonitor, NothingEscapesTheBackgroundThread) {
  const SteadyClock clock;
  std::atomic<int> polls = 0;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&]() -> Snapshot {
                             ++polls;
                             throw std::logic_error("a bug in a driver's wrapper");
                           }),
                           clock, {.period = Seconds(0.0005)});
  monitor.start();
  ASSERT_TRUE(comes_true([&] { return polls >= 3; }));
  EXPECT_EQ(monitor.error(), "a bug in a driver's wrapper");
}

TEST(GpuSystemMonitor, EndsAtOnceHoweverLongItsPeriod) {
  const SteadyClock clock;
  std::atomic<bool> polled = false;
  GpuSystemMonitor monitor(std::make_unique<ScriptedSource>([&] {
                             polled = true;
                             return power_reading(1.0);
                           }),
                           clock, {.period = Seconds(3600.0)});
  monitor.start();
  ASSERT_TRUE(comes_true([&] { return polled.load(); }));
}  // a monitor that slept its period out would hang here

TEST(GpuSystemMonitor, APeriodOfZeroIsRefused) {
  const VirtualClock clock;
  EXPECT_THROW(GpuSystemMonitor(std::make_unique<ScriptedSource>([] { return Snapshot{}; }), clock,
                                {.period = Seconds(0.0)}),
               PreconditionError);
}

TEST(GpuSystemMonitor, NegativePatienceIsRefused) {
  const VirtualClock clock;
  EXPECT_THROW(GpuSystemMonitor(std::make_unique<ScriptedSource>([] { return Snapshot{}; }), clock,
                                {.patience = Seconds(-1.0)}),
               PreconditionError);
}

}  // namespace
}  // namespace thermoe
