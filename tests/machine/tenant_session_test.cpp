// SPDX-License-Identifier: Apache-2.0
// A tenant's calibration and work on a board that draws power while its work runs.
#include "machine/tenant/tenant_session.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string_view>
#include <thread>

#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

constexpr Watts kIdle{100};
constexpr Watts kLimit{700};
constexpr Watts kAdded{400};     // while work runs
constexpr Seconds kMoves{0.01};  // of the energy counter

/// Counts joules as time passes and work runs, which takes its time by the clock.
class Board {
 public:
  explicit Board(const Clock& clock) : clock_(clock) {}

  void run(Seconds time) {
    std::this_thread::sleep_for(std::chrono::duration<double>(time.value));
    const std::lock_guard lock(mutex_);
    work_ += kAdded * time;
  }
  Snapshot read() {
    const std::lock_guard lock(mutex_);
    const Seconds now = clock_.now();
    if (now - moved_ >= kMoves) {
      moved_ = now;
      counted_ = kIdle * now + work_;
    }
    GpuReading gpu{.name = "board", .uuid = "GPU-1"};
    if (tells) gpu.energy.value = counted_;
    gpu.power_limit.value = kLimit;
    return {.gpus = {gpu}};
  }
  std::atomic<bool> tells{true};

 private:
  const Clock& clock_;
  std::mutex mutex_;
  Joules work_{}, counted_{};
  Seconds moved_{};
};

class BoardWork final : public TenantWork {
 public:
  explicit BoardWork(Board& board) : board_(board) {}
  Seconds run(Kind /*kind*/, int units) override {
    const Seconds time = units * Seconds(1e-4);
    board_.run(time);
    return time;
  }

 private:
  Board& board_;
};

class Session : public testing::Test {
 protected:
  TenantSession session(TenantSessionOptions options) {
    options.load.warm_up = Seconds(0.001);
    options.lengths = {.sure = Seconds(0.5), .probe = Seconds(0.25)};
    options.to_settle = Seconds(0.02);
    return {options,
            {.make_work = [this] { return std::make_unique<BoardWork>(board_); },
             .source = std::make_unique<ScriptedSource>([this] { return board_.read(); }),
             .clock = clock_,
             .stop = stop_},
            {.gpu = "board", .uuid = "GPU-1"}};
  }

  SteadyClock clock_;
  Board board_{clock_};
  std::atomic<bool> stop_{false};
};

TEST_F(Session, FindsTheDutyThatAddsItsShareOfTheWatts) {
  const TenantSession tenant = session({.power_fraction = 0.1});
  const TenantReady& ready = tenant.ready();
  EXPECT_NEAR(ready.idle->value, kIdle.value, 5);
  EXPECT_EQ(ready.limit, kLimit);
  // A busy machine loses bursts: what is added is what was measured, whatever was wanted.
  EXPECT_GT(ready.added->value, 10);
  EXPECT_LT(ready.added->value, 90);
  EXPECT_GT(ready.duty, 0.05);
  EXPECT_EQ(ready.gpu, "board");
}

TEST_F(Session, WorksSoLongAndTellsWhatItSaw) {
  TenantSession tenant = session({.duty = 0.2});
  EXPECT_FALSE(tenant.ready().added.has_value()) << "nobody asked for watts";
  const TenantDone done = tenant.work(Seconds(0.5));
  EXPECT_GE(done.tally.working, Seconds(0.5));
  EXPECT_GT(done.tally.bursts, 0U);
  ASSERT_TRUE(done.mean.has_value());
  const Watts expected = kIdle + done.tally.achieved_duty() * kAdded;
  EXPECT_NEAR(done.mean->value, expected.value, 15);
}

TEST_F(Session, WithoutSensorsADutyStillWorks) {
  board_.tells = false;
  EXPECT_THROW(session({.power_fraction = 0.1}), UsageError);
  TenantSession tenant = session({.duty = 0.2});
  const TenantDone done = tenant.work(Seconds(0.05));
  EXPECT_FALSE(done.mean.has_value());
  EXPECT_GE(done.tally.working, Seconds(0.05));
}

TEST_F(Session, IsStoppedAtAnyTime) {
  stop_ = true;
  EXPECT_THROW(session({.power_fraction = 0.1}), Error);
  TenantSession tenant = session({.duty = 0.2});
  EXPECT_LT(tenant.work({}).tally.working, Seconds(60)) << "without a length, until then";
}

TEST_F(Session, WorksAndRestsAsItsInputSays) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  TenantSession tenant = session({.duty = 0.2});
  {
    const std::jthread run([&] {
      const auto say = [&](std::string_view line) {
        return ::write(ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size());
      };
      EXPECT_TRUE(say("on\n"));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      EXPECT_TRUE(say("off\n"));
      ::close(ends[1]);
    });
    tenant.obey(ends[0]);
  }
  ::close(ends[0]);
  const TenantTally done = tenant.tally();
  EXPECT_GT(done.working, Seconds(0));
  EXPECT_EQ(tenant.tally().working, done.working) << "it rests";
}

TEST_F(Session, AShareOfWattsOrOfTimeButNotBoth) {
  EXPECT_THROW(session({}), PreconditionError);
  EXPECT_THROW(session({.power_fraction = 0.1, .duty = 0.1}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
