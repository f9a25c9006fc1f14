// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/board_power.h"

#include <gmock/gmock.h>

#include <cmath>

#include "core/errors.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

/// A board of 250 W whose counter moves every 100 ms, on a clock that moves with each read.
class Board : public testing::Test {
 protected:
  BoardPower board(const std::string& uuid = "GPU-1") {
    auto source = std::make_unique<ScriptedSource>([this] {
      clock_.advance_to(clock_.now() + Seconds(0.0046));
      GpuReading other{.name = "other", .uuid = "GPU-0"};
      GpuReading gpu{.name = "board", .uuid = "GPU-1"};
      const double moves = std::floor(clock_.now().value / 0.1);
      if (tells_energy_) gpu.energy.value = Joules(stands_still_ ? 1.0 : 250 * 0.1 * moves);
      gpu.power_limit.value = Watts(700);
      gpu.energy_gaps = gaps_;
      return Snapshot{.gpus = {other, gpu}};
    });
    return {std::move(source), uuid, clock_,
            [this](Seconds s) { clock_.advance_to(clock_.now() + s); }};
  }
  template <class ErrorType>
  std::string error(const std::function<void()>& call) {
    try {
      call();
    } catch (const ErrorType& error) {
      return error.what();
    }
    return "no such error";
  }

  VirtualClock clock_;
  bool tells_energy_ = true, stands_still_ = false;
  std::uint64_t gaps_ = 0;
};

TEST_F(Board, IsMeasuredFromOneMoveOfItsCounterToAnother) {
  BoardPower power = board();
  EXPECT_EQ(power.limit(), Watts(700));
  for (const double rest : {0.03, 0.51, 1.47}) {
    const BoardPower::Mark from = power.mark();
    clock_.advance_to(clock_.now() + Seconds(rest));
    // A glance of 2 ms and a read of 4.6 at either end.
    EXPECT_NEAR(BoardPower::mean(from, power.mark()).value, 250, 250 * 0.0066 / rest);
  }
}

TEST_F(Board, OneThatCudaHasAndNvmlDoesNotIsRefused) {
  EXPECT_THAT(error<UsageError>([&] { board("GPU-2"); }), HasSubstr("NVML lists no GPU GPU-2"));
}

TEST_F(Board, WithoutAnEnergyCounterItIsRefusedWithWhatCanBeDone) {
  tells_energy_ = false;
  EXPECT_THAT(error<UsageError>([&] { board(); }),
              HasSubstr("does not tell the energy counter of board (GPU-1); `thermoe doctor` says "
                        "why, or leave the watts open with --duty"));
}

TEST_F(Board, ACounterThatStandsStillOrBeginsAnewIsSaid) {
  BoardPower power = board();
  const BoardPower::Mark from = power.mark();
  gaps_ = 1;
  const BoardPower::Mark to = power.mark();
  EXPECT_THAT(error<TelemetryError>([&] { BoardPower::mean(from, to); }), HasSubstr("began anew"));
  stands_still_ = true;
  EXPECT_THAT(error<TelemetryError>([&] { power.mark(); }), HasSubstr("has stood still for 5 s"));
}

}  // namespace
}  // namespace thermoe
