// SPDX-License-Identifier: Apache-2.0
#include "measure/virtual_readings.h"

#include "core/errors.h"
#include "machine/simulated/find_plant.h"
#include "machine/simulated/plant_config.h"
#include "machine/simulated/simulated_load_source.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {
namespace {

constexpr double kPollsPerSecond = 10.0;

}  // namespace

VirtualReadings::VirtualReadings(const SensorChoice& choice) : chosen_(choice.gpus) {
  if (choice.source == SourceKind::kReplay) {
    label_ = "replay of " + choice.replay_file;
    recording_ = read_telemetry_trace(choice.replay_file).snapshots;
    const Seconds start = recording_.front().at;
    for (Snapshot& snapshot : recording_) snapshot.at -= start;
    return;
  }
  THERMOE_EXPECT(choice.source == SourceKind::kSimulated,
                 "only a recording or a simulation has a time of its own");
  label_ = "simulated";
  const std::string plant = choice.plant_file.empty() ? find_plant() : choice.plant_file;
  simulated_ = std::make_unique<SimulatedLoadSource>(read_plant(plant), Seconds(0));
}

VirtualReadings::~VirtualReadings() = default;

bool VirtualReadings::pass(Seconds until, WindowMeter& meter) {
  if (simulated_ != nullptr) {
    for (Seconds at; (at = Seconds(static_cast<double>(next_) / kPollsPerSecond)) <= until;
         ++next_) {
      Snapshot snapshot = simulated_->read(at);
      snapshot.at = at;
      meter.add(chosen_.of(snapshot));
    }
    return true;
  }
  for (; next_ < recording_.size() && recording_[next_].at <= until; ++next_) {
    meter.add(chosen_.of(recording_[next_]));
  }
  return until <= recording_.back().at;
}

std::optional<Seconds> VirtualReadings::length() const {
  if (recording_.empty()) return std::nullopt;
  return recording_.back().at;
}

}  // namespace thermoe
