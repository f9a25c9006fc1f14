// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <random>

#include "core/snapshot.h"
#include "core/units.h"
#include "machine/simulated/simulated_gpu_config.h"

namespace thermoe {

/// What is true during a short stretch of time.
struct TrueState {
  Watts power{};
  Celsius temperature{};         ///< at its end
  Celsius memory_temperature{};  ///< at its end
  bool busy = false;             ///< a kernel ran
  double memory_busy = 0.0;      ///< share of the stretch in which memory moved data
  Megahertz sm_clock{};
  std::uint64_t throttle_reasons = 0;  ///< as NVML's clocks event reasons
};

/// The sensors of an H100 as measured: each period they average instant power over the period's
/// last `sensor_window` only, take temperature, clock and the energy counter at its end, quantise,
/// and publish `sensor_delay` later. Instant power is blind outside its window, so that a load with
/// a period of its own aliases, as it does on the real chip; the average sees all the time.
class SimulatedSensors {
 public:
  /// Starts at time 0 with a past of idle at `idle`. Requires period > 0, 0 < window <= period,
  /// delay >= 0, average_samples >= 1, utilisation_period > 0, steps and noise >= 0.
  SimulatedSensors(const SimulatedGpuConfig& config, const TrueState& idle);

  /// `state` held from the end of the last record until `until`.
  void record(const TrueState& state, Seconds until);
  /// The newest values published at or before `now`. About two seconds of them are kept, counted
  /// from the newest record; before that, the oldest kept.
  GpuReading at(Seconds now) const;

 private:
  struct Sample {
    Seconds published{};
    GpuReading reading{};
  };
  struct UtilisationSample {
    Seconds published{};
    double gpu = 0.0;
    double memory = 0.0;
  };
  /// One finished sensor period, for the average.
  struct Period {
    Watts power{};
    Watts noise{};
  };

  Seconds next_sample() const;
  Seconds next_utilisation() const;
  void accumulate(const TrueState& state, Seconds until);
  void sample(const TrueState& state);
  void sample_utilisation();
  void forget();

  SimulatedGpuConfig config_;
  std::mt19937_64 random_;
  std::normal_distribution<double> noise_{0.0, 1.0};
  Seconds now_{};
  double samples_taken_ = 0.0;
  double utilisation_samples_taken_ = 0.0;
  Joules energy_{};         // counter
  Joules period_energy_{};  // within the period under way
  Joules window_energy_{};  // within its window
  Seconds busy_{};          // within the utilisation period under way
  Seconds memory_busy_{};
  std::deque<Period> recent_;   // the last average_samples periods
  std::deque<Sample> samples_;  // by time, never empty
  std::deque<UtilisationSample> utilisation_;
};

}  // namespace thermoe
