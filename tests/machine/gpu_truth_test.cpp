// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/gpu_truth.h"

#include <gmock/gmock.h>

#include <thread>

#include "bounded_wait.h"
#include "live_gpu.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr Seconds kPeriod{0.002};

void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

class TruthOfALiveGpu : public testing::Test {
 protected:
  GpuTruth::Stretch next(GpuTruth& truth, double seconds) {
    sleep(seconds);
    const Seconds from = std::exchange(to_, clock_.now());
    return truth.between(from, to_);
  }
  /// What the GPU says now, and that reading is over.
  bool is_read() {
    return comes_true([this, begun = gpu_.reads + 2] { return gpu_.reads > begun; });
  }
  std::string failure(GpuTruth& truth) {
    std::string said;
    const bool failed = comes_true([&] {
      try {
        next(truth, 0.01);
      } catch (const Error& e) {
        said = e.what();
      }
      return !said.empty();
    });
    return failed ? said : "none";
  }

  LiveGpu gpu_{};
  const SteadyClock clock_{};
  Seconds to_{};
};

TEST_F(TruthOfALiveGpu, JoulesAreKnownFromTheFirstStretchOn) {
  GpuTruth truth(gpu_.open(), clock_, kPeriod);
  to_ = clock_.now();
  const Seconds begin = to_;
  Joules sum{};
  for (int i = 0; i < 10; ++i) {
    const GpuTruth::Stretch stretch = next(truth, 0.05);
    ASSERT_TRUE(stretch.hardware.energy.has_value()) << stretch.problem;
    EXPECT_EQ(stretch.problem, "");
    EXPECT_GE(*stretch.hardware.energy, Joules(0));
    sum += *stretch.hardware.energy;
  }
  // Half a second, give or take two periods of the counter at each end: a slow machine reads late.
  EXPECT_NEAR(sum.value / LiveGpu::kWatts, (to_ - begin).value, 0.2);
}

TEST_F(TruthOfALiveGpu, AllElseIsAsTheDriverSays) {
  GpuTruth truth(gpu_.open(), clock_, kPeriod);
  gpu_.reasons = 0x1;  // idle
  next(truth, 0.05);
  const TrueHardware calm = next(truth, 0.05).hardware;
  EXPECT_EQ(calm.temperature, Celsius(61));
  EXPECT_EQ(calm.memory_temperature, Celsius(71));
  EXPECT_EQ(calm.utilisation, 0.5);
  EXPECT_EQ(calm.memory_utilisation, 0.25);
  EXPECT_EQ(calm.sm_clock, Megahertz(1980));
  EXPECT_EQ(calm.throttled, false);
  for (const std::uint64_t reason : {0x4, 0x8, 0x20, 0x40, 0x80}) {
    gpu_.reasons = reason;
    ASSERT_TRUE(is_read());
    gpu_.reasons = 0;  // over before the stretch is
    ASSERT_TRUE(is_read());
    EXPECT_EQ(next(truth, 0.05).hardware.throttled, true) << reason;
    EXPECT_EQ(next(truth, 0.05).hardware.throttled, false) << reason;
  }
}

TEST_F(TruthOfALiveGpu, WithoutACounterAllButJoulesIsThere) {
  gpu_.has_counter = false;
  GpuTruth truth(gpu_.open(), clock_, kPeriod);
  const GpuTruth::Stretch stretch = next(truth, 0.05);
  EXPECT_FALSE(stretch.hardware.energy.has_value());
  EXPECT_FALSE(stretch.hardware.mean_power.has_value()) << "never made up";
  EXPECT_EQ(stretch.hardware.temperature, Celsius(61));
  EXPECT_THAT(stretch.problem, HasSubstr("no energy counter"));
}

TEST_F(TruthOfALiveGpu, ACounterThatFallsSilentCostsTheJoulesOnly) {
  GpuTruth truth(gpu_.open(), clock_, kPeriod);
  gpu_.counter_stands = true;
  next(truth, 1.2);
  const GpuTruth::Stretch stretch = next(truth, 0.05);
  EXPECT_FALSE(stretch.hardware.energy.has_value());
  EXPECT_EQ(stretch.hardware.temperature, Celsius(61));
  EXPECT_THAT(stretch.problem, HasSubstr("has stood still"));
}

TEST_F(TruthOfALiveGpu, ACounterThatBeganAnewIsSaid) {
  GpuTruth truth(gpu_.open(), clock_, kPeriod);
  next(truth, 0.05);
  gpu_.counter_resets = 1;
  const GpuTruth::Stretch stretch = next(truth, 0.2);
  EXPECT_FALSE(stretch.hardware.energy.has_value());
  EXPECT_THAT(stretch.problem, HasSubstr("began anew"));
  EXPECT_TRUE(comes_true([&] { return next(truth, 0.05).hardware.energy.has_value(); }));
}

TEST_F(TruthOfALiveGpu, SensorsThatVanishAreAnErrorAfterASecond) {
  for (std::atomic<bool>* fault : {&gpu_.throws, &gpu_.lost}) {
    GpuTruth truth(gpu_.open(), clock_, kPeriod);
    next(truth, 0.05);
    *fault = true;
    const Seconds begin = clock_.now();
    EXPECT_THAT(failure(truth),
                AllOf(HasSubstr("vanished"),
                      HasSubstr(fault == &gpu_.lost ? "look at dmesg" : "driver was unloaded")));
    EXPECT_GT(clock_.now() - begin, Seconds(0.9));
    *fault = false;
  }
}

TEST_F(TruthOfALiveGpu, SensorsThatCannotBeReadAtAllAreAnErrorAtOnce) {
  gpu_.throws = true;
  try {
    GpuTruth truth(gpu_.open(), clock_, kPeriod);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("driver was unloaded"));
  }
}

TEST(GpuTruth, RefusesSensorsOfSeveralGpus) {
  const SteadyClock clock;
  const auto two = [] {
    return std::make_unique<ScriptedSource>([] {
      Snapshot snapshot = power_reading(100);
      snapshot.gpus.push_back(snapshot.gpus.front());
      return snapshot;
    });
  };
  EXPECT_THROW(GpuTruth(two(), clock, kPeriod), PreconditionError);
}

}  // namespace
}  // namespace thermoe
