// SPDX-License-Identifier: Apache-2.0
#include "monitor/monitor_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

// Shorter pauses between two readings happen on a busy machine.
constexpr Seconds kPatience{1.0};
constexpr Seconds kHangs{0.2};

std::string title(const std::vector<Feed>& feeds, const MonitorRequest& request) {
  std::vector<std::string> labels;
  labels.reserve(feeds.size() + 1);
  for (const Feed& feed : feeds) labels.push_back(feed.label);
  if (request.run) labels.push_back("run " + *request.run);
  return fmt::format("{}", fmt::join(labels, " + "));
}

/// What the trend shows: the average, as instant power sees a quarter of the time only and its
/// peaks would fill the picture.
std::optional<Watts> power(const GpuReading& gpu) {
  return gpu.power_average.value ? gpu.power_average.value : gpu.power_instant.value;
}

}  // namespace

MonitorSession::MonitorSession(const MonitorRequest& request, const Clock& clock, Seconds period)
    : clock_(clock), selection_(request.gpus), patience_(std::max(kPatience, 3.0 * period)) {
  if (request.run) run_.emplace(*request.run);
  run_telemetry_ = request.run && !request.source;
  feeds_ = start_feeds(request, clock, period);
  known_.resize(feeds_.size());
  title_ = title(feeds_, request);
}

std::vector<LabelledSnapshot> MonitorSession::update() {
  now_ = clock_.now();
  wall_time_ = clock_.wall_time();
  std::vector<LabelledSnapshot> fresh;
  for (std::size_t f = 0; f < feeds_.size(); ++f) {
    for (Snapshot& snapshot : fresh_snapshots(feeds_[f], now_)) {
      take(feeds_[f], known_[f], snapshot);
      fresh.push_back({.source = feeds_[f].label, .snapshot = std::move(snapshot)});
    }
  }
  std::ranges::stable_sort(fresh, {}, [](const LabelledSnapshot& s) { return s.snapshot.at; });
  if (run_) run_->update(now_);
  return fresh;
}

void MonitorSession::take(const Feed& feed, Known& known, Snapshot& snapshot) const {
  if (!snapshot.gpus.empty()) {
    SelectedGpus selected = select(selection_, snapshot.gpus);
    // A flag that is wrong is bad input; in a recording a GPU may still come.
    const bool wrong = selection_.origin == kGpuFlag && !selected.amiss.empty() && selected.certain;
    if (wrong && !feed.ends_at) throw UsageError(selected.amiss);
    known.listed = snapshot.gpus.size();
    known.amiss = std::move(selected.amiss);
    snapshot.gpus = std::move(selected.gpus);
  }
  known.snapshot = snapshot;
  known.count = std::min(known.count + 1, 2);
  for (const GpuReading& gpu : snapshot.gpus) {
    Series& watts = known.power[gpu.index];
    Series& die = known.temperature[gpu.index];
    if (const auto value = power(gpu)) watts.add(snapshot.at, value->value);
    if (const auto& value = gpu.temperature.value) die.add(snapshot.at, value->value);
  }
}

void MonitorSession::show(MonitorView& view, const Feed& feed, const Known& known) const {
  view.feeds.push_back(feed_view(feed, now_, patience_));
  if (!known.amiss.empty()) view.feeds.back().problems.push_back(known.amiss);
  // The last reading of a recording that has ended does not grow old.
  const Seconds now = view.feeds.back().ended ? known.snapshot.at : now_;
  const Seconds age = now - known.snapshot.at;
  const auto stale = age > patience_ ? std::optional(age) : std::nullopt;
  for (const GpuReading& gpu : known.snapshot.gpus) {
    view.gpus.push_back({.label = fmt::format("GPU {}", gpu.index),
                         .reading = gpu,
                         .now = now,
                         .stale_for = stale,
                         .power = known.power.at(gpu.index),
                         .temperature = known.temperature.at(gpu.index)});
  }
  if (known.snapshot.host.empty()) return;
  view.host.insert(view.host.end(), known.snapshot.host.begin(), known.snapshot.host.end());
  view.host_stale_for = stale;
}

std::string MonitorSession::selection_words() const {
  std::size_t shown = 0, listed = 0;
  for (const Known& known : known_) {
    shown += known.snapshot.gpus.size();
    listed += known.listed;
  }
  if (shown == listed) return selection_.note;
  return fmt::format("{} of {} GPUs ({}){}", shown, listed, selection_.origin,
                     shown == 0 ? "; --gpu all shows all" : "");
}

MonitorView MonitorSession::view() const {
  MonitorView view{.source = title_, .selection = selection_words()};
  for (std::size_t f = 0; f < feeds_.size(); ++f) {
    show(view, feeds_[f], known_[f]);
    view.simulated = view.simulated || feeds_[f].simulated || known_[f].snapshot.simulated;
  }
  if (run_) {
    view.run = run_->view();
    if (run_telemetry_) {
      view.simulated = view.run->simulated;
      if (run_->gpu()) view.gpus.push_back(*run_->gpu());
    }
  }
  return view;
}

bool MonitorSession::settled() const {
  for (std::size_t f = 0; f < feeds_.size(); ++f) {
    // RAPL's power is a difference between two polls.
    const int wanted = known_[f].snapshot.host.empty() ? 1 : 2;
    const bool failing = feeds_[f].monitor->failed_polls() > 2 && feeds_[f].monitor->error();
    if (known_[f].count < wanted && !failing) return false;
  }
  return !run_telemetry_ || run_->view().state != RunView::State::kWaiting;
}

bool MonitorSession::answered() const {
  if (run_telemetry_) return run_->view().state != RunView::State::kWaiting;
  return std::ranges::any_of(known_, [](const Known& known) { return known.count > 0; });
}

bool MonitorSession::hangs() const {
  for (const Feed& feed : feeds_) {
    while (const auto under_way = feed.monitor->poll_under_way()) {
      if (*under_way > kHangs) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  return false;
}

std::optional<Seconds> MonitorSession::ends_at() const {
  for (const Feed& feed : feeds_) {
    if (feed.ends_at) return feed.ends_at;
  }
  return std::nullopt;
}

}  // namespace thermoe
