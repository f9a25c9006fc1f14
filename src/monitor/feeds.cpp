// SPDX-License-Identifier: Apache-2.0
#include "monitor/feeds.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "machine/simulated/find_plant.h"
#include "machine/simulated/plant_config.h"
#include "machine/simulated/simulated_load_source.h"
#include "telemetry/host_source.h"
#include "telemetry/nvml_source.h"
#include "telemetry/replay_source.h"

namespace thermoe {
namespace {

// A poll that hangs is left behind: whoever ends the program has waited enough.
constexpr Seconds kPatience{0.2};
constexpr Seconds kOnceReconnect{0.2};
// Snapshots kept between two looks of the loop, which come at most a few periods apart.
constexpr std::size_t kHistory = 100;

Feed feed(std::string label, std::unique_ptr<Source> source, const Clock& clock, Seconds period) {
  Feed made{.label = std::move(label)};
  made.monitor = std::make_unique<GpuSystemMonitor>(
      std::move(source), clock,
      MonitorOptions{.period = period, .history = kHistory, .patience = kPatience});
  return made;
}

Feed nvml(const MonitorRequest& request, const Clock& clock, Seconds period) {
  NvmlOptions options;
  if (!request.nvml_library.empty()) options.library = request.nvml_library;
  if (request.once) {  // who waits for a driver that is coming up wants it at once
    options.reconnect_period = kOnceReconnect;
    options.reconnect_period_max = kOnceReconnect;
  }
  return feed("NVML", std::make_unique<NvmlSource>(options), clock, period);
}

Feed host(const Clock& clock, Seconds period) {
  return feed("host", std::make_unique<HostSource>(HostPaths{}), clock, period);
}

Feed replay(const MonitorRequest& request, const Clock& clock, Seconds period) {
  TelemetryTrace trace = read_telemetry_trace(request.replay_file);
  const Seconds start = clock.now();
  auto source = std::make_unique<ReplaySource>(std::move(trace), start);
  const Seconds end = start + source->length();
  const bool simulated = source->simulated();
  Feed made = feed("replay of " + request.replay_file, std::move(source), clock, period);
  made.ends_at = end;
  made.simulated = simulated;
  return made;
}

Feed simulated(const MonitorRequest& request, const Clock& clock, Seconds period) {
  const std::string plant = request.plant_file.empty() ? find_plant() : request.plant_file;
  Feed made =
      feed("simulated", std::make_unique<SimulatedLoadSource>(read_plant(plant), clock.now()),
           clock, period);
  made.simulated = true;
  return made;
}

}  // namespace

std::vector<Feed> start_feeds(const MonitorRequest& request, const Clock& clock, Seconds period) {
  std::vector<Feed> feeds;
  // With a run, its own telemetry is what is shown unless another is asked for.
  if (request.run && !request.source) return feeds;
  switch (request.source.value_or(SourceKind::kMachine)) {
    case SourceKind::kMachine:
      feeds.push_back(nvml(request, clock, period));
      feeds.push_back(host(clock, period));
      feeds.back().optional = true;
      break;
    case SourceKind::kNvml:
      feeds.push_back(nvml(request, clock, period));
      break;
    case SourceKind::kHost:
      feeds.push_back(host(clock, period));
      break;
    case SourceKind::kReplay:
      feeds.push_back(replay(request, clock, period));
      break;
    case SourceKind::kSimulated:
      feeds.push_back(simulated(request, clock, period));
      break;
  }
  for (Feed& started : feeds) started.monitor->start();
  return feeds;
}

FeedView feed_view(const Feed& feed, Seconds now, Seconds patience) {
  const Snapshot latest = feed.monitor->latest();
  FeedView view{.label = feed.label,
                .optional = feed.optional,
                .answered = latest.at > Seconds(0),
                .error = feed.monitor->error(),
                .ended = feed.ends_at && now > *feed.ends_at,
                .problems = latest.problems};
  const auto under_way = feed.monitor->poll_under_way();
  if (under_way && *under_way > patience) view.silent_for = under_way;
  // What a source said of its parts in its last good poll is old news once it fails as a whole.
  if (view.error) view.problems.clear();
  return view;
}

std::vector<Snapshot> fresh_snapshots(Feed& feed, Seconds now) {
  std::vector<Snapshot> fresh;
  for (Snapshot& snapshot : feed.monitor->history()) {
    if (snapshot.at <= feed.taken_until || snapshot.at >= now) continue;
    fresh.push_back(std::move(snapshot));
  }
  if (!fresh.empty()) feed.taken_until = fresh.back().at;
  return fresh;
}

}  // namespace thermoe
