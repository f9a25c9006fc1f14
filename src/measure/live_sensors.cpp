// SPDX-License-Identifier: Apache-2.0
#include "measure/live_sensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "machine/simulated/find_plant.h"
#include "machine/simulated/plant_config.h"
#include "machine/simulated/simulated_load_source.h"
#include "telemetry/host_source.h"
#include "telemetry/nvml_source.h"
#include "telemetry/replay_source.h"

namespace thermoe {
namespace {

constexpr Seconds kPeriod{0.1};  // NVML's own sensors change no faster
// More than come between two calls of `drain`, also where the program was stopped for a moment.
constexpr std::size_t kHistory = 100;
constexpr Seconds kPatience{0.2};  // a poll that hangs is left behind
constexpr auto kLook = std::chrono::milliseconds(1);

bool has_energy(const Snapshot& snapshot) {
  return std::ranges::any_of(snapshot.gpus,
                             [](const GpuReading& gpu) { return gpu.energy.value.has_value(); });
}

/// One feed's way to readings that are younger than the asking.
struct FreshReading {
  Seconds asked{};
  std::uint64_t failed_polls = 0;
  Seconds seen{-1.0};
  int count = 0;
};

}  // namespace

struct LiveSensors::Feed {
  std::string label{};
  NvmlSource* nvml = nullptr;  // within the monitor
  std::unique_ptr<GpuSystemMonitor> monitor{};
  Seconds taken_until{-1.0};

  /// Asks for a poll that reads everything.
  void ask() {
    if (nvml != nullptr) nvml->request_energy();
    monitor->poll_soon();
  }
};

LiveSensors::LiveSensors(const SensorChoice& choice, const Clock& clock)
    : clock_(clock), chosen_(choice.gpus) {
  if (choice.source == SourceKind::kMachine || choice.source == SourceKind::kNvml) {
    NvmlOptions options;
    if (!choice.nvml_library.empty()) options.library = choice.nvml_library;
    if (!choice.nvml_library_setting.empty()) {
      options.library_setting = choice.nvml_library_setting;
    }
    auto nvml = std::make_unique<NvmlSource>(options);
    NvmlSource* known = nvml.get();
    add("NVML", std::move(nvml), known);
  }
  if (choice.source == SourceKind::kMachine || choice.source == SourceKind::kHost) {
    add("host", std::make_unique<HostSource>(choice.host));
  }
  if (choice.source == SourceKind::kReplay) {
    add("replay of " + choice.replay_file,
        std::make_unique<ReplaySource>(read_telemetry_trace(choice.replay_file), clock.now()));
  }
  if (choice.source == SourceKind::kSimulated) {
    const std::string plant = choice.plant_file.empty() ? find_plant() : choice.plant_file;
    add("simulated", std::make_unique<SimulatedLoadSource>(read_plant(plant), clock.now()));
  }
  for (Feed& feed : feeds_) feed.monitor->start();
}

LiveSensors::~LiveSensors() = default;

void LiveSensors::add(std::string label, std::unique_ptr<Source> source, NvmlSource* nvml) {
  Feed feed{.label = std::move(label), .nvml = nvml};
  feed.monitor = std::make_unique<GpuSystemMonitor>(
      std::move(source), clock_,
      MonitorOptions{.period = kPeriod, .history = kHistory, .patience = kPatience});
  feeds_.push_back(std::move(feed));
}

void LiveSensors::drain(WindowMeter& meter) {
  for (Feed& feed : feeds_) {
    for (const Snapshot& snapshot : feed.monitor->history()) {
      if (snapshot.at <= feed.taken_until) continue;
      feed.taken_until = snapshot.at;
      meter.add(chosen_.of(snapshot));
    }
  }
}

bool LiveSensors::read_now(WindowMeter& meter, Seconds patience) {
  const Seconds end = clock_.now() + patience;
  std::vector<FreshReading> fresh;
  for (Feed& feed : feeds_) {
    fresh.push_back({.asked = clock_.now(), .failed_polls = feed.monitor->failed_polls()});
    feed.ask();
  }
  const auto answered = [&](Feed& feed, FreshReading& state) {
    if (feed.monitor->failed_polls() > state.failed_polls) return true;
    const Snapshot latest = feed.monitor->latest();
    if (latest.at <= std::max(state.seen, state.asked)) return false;
    state.seen = latest.at;
    if (feed.nvml == nullptr || has_energy(latest) || ++state.count == 2) return true;
    // A poll that was under way when it was asked knows nothing of it; or no GPU has a counter.
    feed.ask();
    return false;
  };
  std::vector<bool> done(feeds_.size(), false);
  const auto waits = [&] { return std::ranges::find(done, false) != done.end(); };
  while (waits() && clock_.now() < end) {
    for (std::size_t f = 0; f < feeds_.size(); ++f) {
      if (!done[f]) done[f] = answered(feeds_[f], fresh[f]);
    }
    if (waits()) std::this_thread::sleep_for(kLook);
  }
  drain(meter);
  return !waits();
}

std::vector<Snapshot> LiveSensors::latest() {
  std::vector<Snapshot> snapshots;
  for (const Feed& feed : feeds_) {
    Snapshot latest = feed.monitor->latest();
    if (latest.at > Seconds(0)) snapshots.push_back(chosen_.of(std::move(latest)));
  }
  return snapshots;
}

std::vector<std::string> LiveSensors::problems() const {
  std::vector<std::string> all;
  if (const std::string note = chosen_.note(); !note.empty()) all.push_back(note);
  for (const Feed& feed : feeds_) {
    if (const auto error = feed.monitor->error()) {
      all.push_back(fmt::format("{}: {}", feed.label, *error));
      continue;
    }
    const Snapshot latest = feed.monitor->latest();
    all.insert(all.end(), latest.problems.begin(), latest.problems.end());
    const auto under_way = feed.monitor->poll_under_way();
    if (under_way && *under_way > Seconds(1)) {
      all.push_back(fmt::format("{}: has not answered for {:.1f} s", feed.label, under_way->value));
    }
  }
  return all;
}

std::string LiveSensors::label() const {
  std::vector<std::string> labels;
  for (const Feed& feed : feeds_) {
    if (feed.monitor->latest().at > Seconds(0)) labels.push_back(feed.label);
  }
  return fmt::format("{}", fmt::join(labels, " + "));
}

bool LiveSensors::hangs() const {
  for (const Feed& feed : feeds_) {
    while (const auto under_way = feed.monitor->poll_under_way()) {
      if (*under_way > kPatience) return true;
      std::this_thread::sleep_for(kLook);
    }
  }
  return false;
}

}  // namespace thermoe
