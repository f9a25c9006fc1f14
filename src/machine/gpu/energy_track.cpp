// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/energy_track.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace thermoe {
namespace {

/// A counter that stood for so long says nothing of the present.
constexpr Seconds kLongestSilence{1.0};
/// Changes that are kept to know the counter's usual period by.
constexpr std::size_t kKept = 8;

}  // namespace

void EnergyTrack::add(const GpuReading& gpu) {
  if (!gpu.energy.value) return;
  const Joules now = *gpu.energy.value;
  if (last_ && (gpu.energy_gaps != gaps_ || now < *last_)) begin_anew();
  gaps_ = gpu.energy_gaps;
  const std::optional<Joules> before = std::exchange(last_, now);
  if (!before || now == *before) return;
  // Two readings of one moment, on a clock that stands: the later one.
  if (!points_.empty() && gpu.energy.changed_at <= points_.back().at) {
    points_.back().counted = now;
  } else {
    points_.push_back({gpu.energy.changed_at, now});
  }
}

void EnergyTrack::begin_anew() {
  points_.clear();
  given_.reset();
  last_.reset();
  began_anew_ = true;
}

std::optional<Joules> EnergyTrack::at(Seconds t) const {
  if (points_.size() < 2 || t < points_.front().at) return std::nullopt;
  const Point& last = points_.back();
  if (t > last.at + kLongestSilence) return std::nullopt;
  if (t >= last.at) return last.counted + last_slope() * (t - last.at);
  const auto b = std::ranges::upper_bound(points_, t, {}, &Point::at);
  const auto a = b - 1;
  return a->counted + ((t - a->at) / (b->at - a->at)) * (b->counted - a->counted);
}

/// A change that was read late makes the interval after it short, although the counter counted a
/// whole period of its own in it: the interval is taken as so many of the usual ones.
Watts EnergyTrack::last_slope() const {
  std::vector<Seconds> intervals;
  for (std::size_t i = 1; i < points_.size(); ++i) {
    intervals.push_back(points_[i].at - points_[i - 1].at);
  }
  const Seconds last = intervals.back();
  const auto middle = intervals.begin() + static_cast<std::ptrdiff_t>(intervals.size() / 2);
  std::ranges::nth_element(intervals, middle);
  const Seconds whole = std::max(std::round(last / *middle), 1.0) * *middle;
  return (points_.back().counted - points_[points_.size() - 2].counted) / whole;
}

std::optional<Joules> EnergyTrack::used(Seconds from, Seconds to) {
  const std::optional<Joules> begin = given_ && given_->at == from ? given_->counted : at(from);
  std::optional<Joules> end = at(to);
  // A guess that was too high is made up for: the counter itself never falls.
  if (begin && end) end = std::max(*begin, *end);
  given_.reset();
  if (end) given_ = {to, *end};
  problem_ = begin && end ? "" : why_absent(to);
  began_anew_ = false;
  while (points_.size() > kKept && points_[1].at <= to) points_.erase(points_.begin());
  if (!begin || !end) return std::nullopt;
  return *end - *begin;
}

std::string EnergyTrack::why_absent(Seconds to) const {
  if (began_anew_) return "the energy counter began anew";
  if (!last_) return "the GPU has no energy counter";
  if (points_.size() < 2) return "the energy counter has not changed twice yet";
  const Seconds silent = to - points_.back().at;
  if (silent > kLongestSilence) {
    return fmt::format("the energy counter has stood still for {:.1f} s", silent.value);
  }
  return "the energy counter was not known when the tick began";
}

}  // namespace thermoe
