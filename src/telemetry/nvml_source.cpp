// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "telemetry/nvml_gpu.h"

namespace thermoe {

/// A GPU's place in the snapshots, also while nothing is known of it but that NVML lists it.
struct NvmlSource::Slot {
  unsigned index = 0;
  std::string uuid{};  // empty for one that never opened or tells no identity
  std::string name{};
  std::unique_ptr<NvmlGpu> gpu{};  // null while the GPU is lost or cannot be opened
  std::string problem{};           // why
  bool awaited = false;            // NVML initialised anew may bring it back
  std::optional<Joules> energy{};  // last read
  std::uint64_t energy_gaps = 0;
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
    throw TelemetryError(fault_);
  }
  if (with_energy) energy_read_at_ = now;
  const bool all_well = !some_lost_ && std::ranges::none_of(slots_, [](const Slot& slot) {
    return slot.gpu == nullptr && slot.awaited;
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
  if (session_ == nullptr) throw TelemetryError(fault_);
}

std::optional<std::string> NvmlSource::connect() {
  for (Slot& slot : slots_) slot.gpu.reset();  // handles die with their session
  unplaced_.clear();
  some_lost_ = false;
  session_.reset();  // shut down before initialising anew: NVML counts sessions
  session_ = std::make_unique<NvmlSession>(options_.library, options_.library_setting);
  if (session_->fault()) return session_->fault()->sentence();
  const nvml::Functions& nvml = session_->functions();
  unsigned count = 0;
  const nvml::Result counted = nvml.device_count(&count);
  if (counted != nvml::kSuccess)
    return session_->explain("NVML cannot count the GPUs", counted).sentence();
  if (count == 0) return no_gpu_fault().sentence();
  std::vector<Unopened> failures;
  for (unsigned i = 0; i < count; ++i) {
    nvml::Device device{};
    nvml::Result result = nvml.device_by_index(i, &device);
    if (result == nvml::kSuccess) {
      auto gpu = std::make_unique<NvmlGpu>(*session_, device);
      result = gpu->lost().value_or(nvml::kSuccess);
      if (result == nvml::kSuccess) place(std::move(gpu), i);
    }
    if (result == nvml::kSuccess) continue;
    failures.push_back(
        {.index = i,
         .lost = nvml::means_lost(result),
         .problem =
             session_->explain(fmt::format("NVML cannot open GPU {}", i), result).sentence()});
  }
  if (failures.size() == count) return failures.front().problem;
  for (const Unopened& failure : failures) keep_place(failure);
  for (Slot& slot : slots_) {
    if (slot.gpu != nullptr) continue;
    slot.awaited = slot.awaited || slot.problem.empty();
    if (slot.problem.empty()) slot.problem = "NVML no longer lists it";
  }
  return std::nullopt;
}

/// Puts a GPU where it was before, or where NVML lists it.
void NvmlSource::place(std::unique_ptr<NvmlGpu> gpu, unsigned index) {
  const auto was_here = [&](const Slot& slot) {
    // One that was never opened, or tells no identity, is known by its index alone.
    return slot.gpu == nullptr &&
           (slot.uuid.empty() ? slot.index == index : slot.uuid == gpu->uuid());
  };
  auto found = std::ranges::find_if(
      slots_, [&](const Slot& slot) { return was_here(slot) && slot.uuid == gpu->uuid(); });
  if (found == slots_.end()) found = std::ranges::find_if(slots_, was_here);
  Slot& slot = found != slots_.end() ? *found : add_place(index);
  slot.uuid = gpu->uuid();
  if (!gpu->name().empty()) slot.name = gpu->name();
  // Its counter may have begun anew while it was away, and counted past where it was.
  if (!slot.problem.empty() && std::exchange(slot.energy, std::nullopt)) ++slot.energy_gaps;
  slot.problem.clear();
  slot.awaited = false;
  slot.gpu = std::move(gpu);
}

/// Says of the GPU that NVML lists at this index why it is absent, and keeps its place empty.
void NvmlSource::keep_place(const Unopened& failure) {
  auto found = std::ranges::find(slots_, failure.index, &Slot::index);
  if (found != slots_.end() && found->gpu != nullptr) {
    // NVML lists the GPUs in another order now: which of them this one was is not known.
    unplaced_.push_back(failure.problem);
    some_lost_ = some_lost_ || failure.lost;
    return;
  }
  Slot& slot = found != slots_.end() ? *found : add_place(failure.index);
  slot.problem = failure.problem;
  slot.awaited = failure.lost || !slot.uuid.empty();
}

/// A new place, with that index if no other GPU has it, and in the order of indices.
NvmlSource::Slot& NvmlSource::add_place(unsigned index) {
  if (std::ranges::find(slots_, index, &Slot::index) != slots_.end()) {
    index = slots_.back().index + 1;
  }
  const auto next = std::ranges::upper_bound(slots_, index, {}, &Slot::index);
  Slot slot;
  slot.index = index;
  return *slots_.insert(next, std::move(slot));
}

/// Fills `snapshot`; returns why, if no GPU is left.
std::optional<std::string> NvmlSource::read_slots(Snapshot& snapshot, bool with_energy) {
  for (Slot& slot : slots_) {
    GpuReading reading;
    if (slot.gpu != nullptr) {
      reading = slot.gpu->read(with_energy);
      if (const auto lost = slot.gpu->lost()) {
        slot.problem = session_->explain("lost", *lost).sentence();
        slot.awaited = true;
        slot.gpu.reset();
      }
    }
    if (const auto& energy = reading.energy.value) {
      if (slot.energy && *energy < *slot.energy) ++slot.energy_gaps;  // began anew
      slot.energy = energy;
    }
    reading.index = slot.index;
    reading.name = slot.name;
    reading.uuid = slot.uuid;
    reading.energy_gaps = slot.energy_gaps;
    snapshot.gpus.push_back(std::move(reading));
    if (slot.gpu != nullptr) continue;
    const bool identified = !slot.uuid.empty() || !slot.name.empty();
    snapshot.problems.push_back(identified ? fmt::format("GPU {} ({}, {}): {}", slot.index,
                                                         slot.name, slot.uuid, slot.problem)
                                           : slot.problem);
  }
  snapshot.problems.insert(snapshot.problems.end(), unplaced_.begin(), unplaced_.end());
  const auto is_present = [](const Slot& slot) { return slot.gpu != nullptr; };
  if (std::ranges::any_of(slots_, is_present)) return std::nullopt;
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

}  // namespace thermoe
