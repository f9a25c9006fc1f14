// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/errors.h"
#include "telemetry/source.h"

namespace thermoe {

/// A GPU that draws constant power in real time, and whose sources a test breaks while they are
/// read by other threads.
class LiveGpu {
 public:
  static constexpr double kWatts = 250.0;

  std::atomic<bool> throws{false};      ///< a source's read
  std::atomic<bool> lost{false};        ///< all readings absent, and a problem says so
  std::atomic<bool> has_counter{true};  ///< of joules
  std::atomic<bool> counter_stands{false};
  std::atomic<int> counter_resets{0};     ///< as `energy_gaps`
  std::atomic<std::uint64_t> reasons{0};  ///< to throttle
  std::atomic<int> reads{0};

  std::unique_ptr<Source> open() { return std::make_unique<Sensors>(*this); }

 private:
  class Sensors final : public Source {
   public:
    explicit Sensors(LiveGpu& gpu) : gpu_(gpu) {}
    std::string_view name() const override { return "live"; }

   private:
    Snapshot poll(Seconds now) override { return gpu_.read(now); }
    LiveGpu& gpu_;
  };

  Snapshot read(Seconds now) {
    ++reads;
    if (throws) throw TelemetryError("the driver was unloaded");
    Snapshot snapshot{.at = now, .gpus = std::vector<GpuReading>(1)};
    GpuReading& gpu = snapshot.gpus.front();
    gpu.uuid = "GPU-live";
    if (lost) {
      snapshot.problems = {"GPU 0 (live, GPU-live): lost. Remedy: look at dmesg"};
      return snapshot;
    }
    if (!counter_stands) stands_at_ = std::floor(clock_.now().value / 0.02) * 0.02;
    if (has_counter) gpu.energy.value = Joules(1000.0 + kWatts * stands_at_.load());
    gpu.energy_gaps = static_cast<std::uint64_t>(counter_resets.load());
    gpu.temperature.value = Celsius(61);
    gpu.memory_temperature.value = Celsius(71);
    gpu.power_instant.value = Watts(kWatts);
    gpu.gpu_utilisation.value = 0.5;
    gpu.memory_utilisation.value = 0.25;
    gpu.sm_clock.value = Megahertz(1980);
    gpu.throttle_reasons.value = reasons.load();
    return snapshot;
  }

  const SteadyClock clock_{};
  std::atomic<double> stands_at_{0.0};
};

}  // namespace thermoe
