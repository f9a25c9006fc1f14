// SPDX-License-Identifier: Apache-2.0
#include "profile/record/strain_run.h"

#include "core/errors.h"
#include "profile/record/sensed_device.h"

namespace thermoe {
namespace {

constexpr int kBursts = 8;
constexpr Seconds kBurst{0.5};
constexpr Seconds kRest{0.7};
constexpr Seconds kPoll{0.005};  // at rest; at work once a batch

class StrainRun {
 public:
  StrainRun(const OpPoint& point, const EnergyBench& bench)
      : bench_(bench), work_(bench.prepare(point)), from_(bench.clock.now()) {
    record_.point = point;
  }

  /// False if it was stopped.
  bool rest(Seconds length) {
    for (const Seconds to = now() + length; now() < to;) {
      if (bench_.stop) return false;
      poll();
      bench_.rest(kPoll);
    }
    return true;
  }

  bool work(Seconds length) {
    for (const Seconds to = now() + length; now() < to;) {
      if (bench_.stop) return false;
      const Seconds from = now();
      const std::int64_t executions = work_([&] { poll(); });
      record_.batches.push_back({.from = from, .to = now(), .executions = executions});
    }
    return true;
  }

  Seconds now() const { return bench_.clock.now() - from_; }
  StrainRecord& record() { return record_; }

 private:
  void poll() {
    const SensedDevice device = sensed_device(bench_.sensors.read(bench_.clock.now()));
    if (!device.power || !device.power_limit) {
      throw TelemetryError(
          "profile --strain: the device says no power or no power limit; see thermoe monitor");
    }
    record_.limit = *device.power_limit;
    record_.samples.push_back(
        {.at = now(), .power = *device.power, .sm_clock = device.state.sm_clock});
  }

  const EnergyBench& bench_;
  SustainedWork work_;
  Seconds from_;
  StrainRecord record_{};
};

}  // namespace

std::optional<StrainRecord> measure_strain(const OpPoint& point, Seconds length,
                                           const EnergyBench& bench) {
  StrainRun run(point, bench);
  for (int burst = 0; burst < kBursts; ++burst) {
    if (!run.rest(kRest) || !run.work(kBurst)) return std::nullopt;
  }
  if (!run.rest(kRest) || !run.work(length - run.now())) return std::nullopt;
  return std::move(run.record());
}

}  // namespace thermoe
