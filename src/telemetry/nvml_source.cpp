// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "telemetry/nvml_gpu.h"

namespace thermoe {

/// A place in the snapshots' list of GPUs.
struct NvmlSource::Slot {
  std::string uuid{};
  std::string name{};
  std::unique_ptr<NvmlGpu> gpu{};  // null while the GPU is lost
  std::string problem{};           // why
};

NvmlSource::NvmlSource(NvmlOptions options)
    : options_(std::move(options)), retry_period_(options_.reconnect_period) {
  const auto finite = [](Seconds s) { return std::isfinite(s.value); };
  THERMOE_EXPECT(finite(options_.energy_period) && options_.energy_period >= Seconds(0),
                 "energy period {} s must be >= 0", options_.energy_period.value);
  THERMOE_EXPECT(finite(options_.reconnect_period) && options_.reconnect_period > Seconds(0),
                 "reconnect period {} s must be > 0", options_.reconnect_period.value);
  THERMOE_EXPECT(finite(options_.reconnect_period_max) &&
                     options_.reconnect_period_max >= options_.reconnect_period,
                 "longest reconnect period {} s must be >= the first, {} s",
                 options_.reconnect_period_max.value, options_.reconnect_period.value);
}

NvmlSource::~NvmlSource() = default;

Snapshot NvmlSource::poll(Seconds now) {
  connect_if_due(now);
  const bool requested = energy_requested_.exchange(false, std::memory_order_relaxed);
  const bool with_energy =
      requested || !energy_read_at_ || now - *energy_read_at_ >= options_.energy_period;
  Snapshot snapshot{.at = now};
  if (const auto fault = read_slots(snapshot, with_energy)) {
    // Shutting down also lets an administrator reset the GPUs: no driver resets one in use.
    for (Slot& slot : slots_) slot.gpu.reset();
    session_.reset();
    fault_ = *fault;
    if (requested) request_energy();
    schedule(now, false);
    fail(now);
  }
  if (with_energy) energy_read_at_ = now;
  const bool all_well = !some_lost_ && std::ranges::all_of(slots_, [](const Slot& slot) {
    return slot.gpu != nullptr;
  });
  schedule(now, all_well);
  return snapshot;
}

/// Ends with a session, or throws.
void NvmlSource::connect_if_due(Seconds now) {
  const bool due = retry_at_ ? now >= *retry_at_ : session_ == nullptr;
  if (due) {
    retry_at_.reset();
    if (const auto fault = connect()) {
      session_.reset();
      fault_ = *fault;
      schedule(now, false);
    }
  }
  if (session_ == nullptr) fail(now);
}

std::optional<std::string> NvmlSource::connect() {
  for (Slot& slot : slots_) slot.gpu.reset();  // handles die with their session
  unopened_.clear();
  some_lost_ = false;
  session_.reset();  // shut down before initialising anew: NVML counts sessions
  session_ = std::make_unique<NvmlSession>(options_.library);
  if (session_->fault()) return session_->fault()->sentence();
  const nvml::Functions& nvml = session_->functions();
  unsigned count = 0;
  const nvml::Result counted = nvml.device_count(&count);
  if (counted != nvml::kSuccess)
    return session_->explain("NVML cannot count the GPUs", counted).sentence();
  if (count == 0) return no_gpu_fault().sentence();
  bool opened = false;
  for (unsigned i = 0; i < count; ++i) {
    nvml::Device device{};
    nvml::Result result = nvml.device_by_index(i, &device);
    if (result == nvml::kSuccess) {
      auto gpu = std::make_unique<NvmlGpu>(*session_, device);
      result = gpu->lost().value_or(nvml::kSuccess);
      if (result == nvml::kSuccess) place(std::move(gpu));
    }
    opened = opened || result == nvml::kSuccess;
    if (result == nvml::kSuccess) continue;
    unopened_.push_back(
        session_->explain(fmt::format("NVML cannot open GPU {}", i), result).sentence());
    some_lost_ = some_lost_ || nvml::means_lost(result);
  }
  if (!opened) return unopened_.front();
  for (Slot& slot : slots_) {
    if (slot.gpu == nullptr && slot.problem.empty()) slot.problem = "NVML no longer lists it";
  }
  return std::nullopt;
}

/// Puts a GPU where it was before, or at the end.
void NvmlSource::place(std::unique_ptr<NvmlGpu> gpu) {
  // GPUs that tell no identity keep the order in which NVML lists them.
  const auto found = std::ranges::find_if(
      slots_, [&](const Slot& slot) { return slot.uuid == gpu->uuid() && slot.gpu == nullptr; });
  Slot& slot = found != slots_.end() ? *found : slots_.emplace_back();
  slot.uuid = gpu->uuid();
  if (!gpu->name().empty()) slot.name = gpu->name();
  slot.problem.clear();
  slot.gpu = std::move(gpu);
}

/// Fills `snapshot`; returns why, if no GPU is left.
std::optional<std::string> NvmlSource::read_slots(Snapshot& snapshot, bool with_energy) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    GpuReading reading;
    if (slot.gpu != nullptr) {
      reading = slot.gpu->read(with_energy);
      if (const auto lost = slot.gpu->lost()) {
        slot.problem = session_->explain("lost", *lost).sentence();
        slot.gpu.reset();
      }
    }
    reading.name = slot.name;
    reading.uuid = slot.uuid;
    snapshot.gpus.push_back(std::move(reading));
    if (slot.gpu == nullptr) {
      snapshot.problems.push_back(
          fmt::format("GPU {} ({}, {}): {}", i, slot.name, slot.uuid, slot.problem));
    }
  }
  snapshot.problems.insert(snapshot.problems.end(), unopened_.begin(), unopened_.end());
  const auto present = [](const Slot& slot) { return slot.gpu != nullptr; };
  if (std::ranges::any_of(slots_, present)) return std::nullopt;
  return fmt::format("no GPU is left: {}", fmt::join(snapshot.problems, "; "));
}

/// Sets the time of the next attempt to reconnect, if one is needed and none is set yet.
void NvmlSource::schedule(Seconds now, bool all_well) {
  if (all_well) {
    retry_at_.reset();
    retry_period_ = options_.reconnect_period;
  } else if (!retry_at_) {
    retry_at_ = now + retry_period_;
    retry_period_ = std::min(2.0 * retry_period_, options_.reconnect_period_max);
  }
}

void NvmlSource::fail(Seconds now) const {
  throw TelemetryError(
      fmt::format("{}. Next attempt in {:.1f} s", fault_, (*retry_at_ - now).value));
}

}  // namespace thermoe
