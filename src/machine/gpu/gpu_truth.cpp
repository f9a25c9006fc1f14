// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/gpu_truth.h"

#include <fmt/format.h>

#include <chrono>
#include <numeric>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

constexpr Seconds kLongestStart{10.0};
constexpr Seconds kLongestError{1.0};
constexpr Seconds kLongestHang{5.0};  // drivers do stand still while another process starts
constexpr Seconds kTwoChanges{1.0};   // of the energy counter
/// NVML's reasons of heat and power: the software power cap, the hardware's slowdown, software and
/// hardware thermal slowdown, the power brake.
constexpr std::uint64_t kThrottled = 0x4 | 0x8 | 0x20 | 0x40 | 0x80;

void look_again_soon() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

}  // namespace

GpuTruth::GpuTruth(std::unique_ptr<Source> source, const Clock& clock, Seconds period)
    : clock_(clock), monitor_(std::move(source), clock, {.period = period, .history = 200}) {
  monitor_.start();
  await_answer();
}

void GpuTruth::await_answer() {
  const Seconds begin = clock_.now();
  for (listen(); !heard_at_; listen()) {
    if (const auto error = monitor_.error()) {
      throw Error(fmt::format("the GPU's sensors cannot be read: {}", *error));
    }
    if (clock_.now() - begin > kLongestStart) {
      throw Error(fmt::format("the GPU's sensors gave no answer in {:.0f} s{}{}",
                              kLongestStart.value, problems_.empty() ? "" : ": ",
                              fmt::join(problems_, "; ")));
    }
    look_again_soon();
  }
  const Seconds answered = clock_.now();
  while (latest_.energy.value && !energy_.at(clock_.now()) &&
         clock_.now() - answered < kTwoChanges) {
    look_again_soon();
    listen();
  }
}

void GpuTruth::listen() {
  for (const Snapshot& snapshot : monitor_.history()) {
    if (snapshot.at <= listened_to_) continue;
    listened_to_ = snapshot.at;
    THERMOE_EXPECT(snapshot.gpus.size() <= 1,
                   "sensors of {} GPUs, where those of the load's alone are wanted",
                   snapshot.gpus.size());
    if (snapshot.gpus.empty() || !says_something(snapshot.gpus.front())) {
      problems_ = snapshot.problems;
      continue;
    }
    problems_.clear();
    heard_at_ = snapshot.at;
    hear(snapshot.gpus.front());
  }
}

void GpuTruth::hear(const GpuReading& gpu) {
  latest_ = gpu;
  energy_.add(gpu);
  if (gpu.sm_clock.value) sm_clocks_.push_back(*gpu.sm_clock.value);
  reasons_ |= gpu.throttle_reasons.value.value_or(0);
}

GpuTruth::Stretch GpuTruth::between(Seconds from, Seconds to) {
  listen();
  expect_answers(to);
  Stretch stretch;
  TrueHardware& truth = stretch.hardware;
  truth.energy = energy_.used(from, to);
  if (truth.energy) truth.mean_power = *truth.energy / (to - from);
  stretch.problem = energy_.problem();
  if (to - *heard_at_ <= kLongestError) {
    truth.temperature = latest_.temperature.value;
    truth.memory_temperature = latest_.memory_temperature.value;
    truth.utilisation = latest_.gpu_utilisation.value;
    truth.memory_utilisation = latest_.memory_utilisation.value;
    truth.sm_clock = latest_.sm_clock.value;
    const std::uint64_t reasons = latest_.throttle_reasons.value.value_or(0) | reasons_;
    if (latest_.throttle_reasons.value) truth.throttled = (reasons & kThrottled) != 0;
  }
  if (!sm_clocks_.empty()) {
    const Megahertz sum = std::accumulate(sm_clocks_.begin(), sm_clocks_.end(), Megahertz(0));
    truth.sm_clock = sum / static_cast<double>(sm_clocks_.size());
  }
  sm_clocks_.clear();
  reasons_ = 0;
  return stretch;
}

/// Throws where there were none for too long.
void GpuTruth::expect_answers(Seconds now) const {
  const Seconds silent = now - *heard_at_;
  const auto error = monitor_.error();
  const std::string cause = error ? *error : fmt::format("{}", fmt::join(problems_, "; "));
  if (silent <= (cause.empty() ? kLongestHang : kLongestError)) return;
  throw Error(fmt::format("the GPU's sensors vanished {:.1f} s ago: {}", silent.value,
                          cause.empty() ? "the driver does not answer" : cause));
}

}  // namespace thermoe
