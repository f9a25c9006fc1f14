// SPDX-License-Identifier: Apache-2.0
#include "machine/energy_track.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace thermoe {
namespace {

/// A counter that stood for so long says nothing of the present.
constexpr Seconds kLongestSilence{1.0};

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
  if (t > points_.back().at + kLongestSilence) return std::nullopt;
  const auto later = std::ranges::lower_bound(points_, t, {}, &Point::at);
  const std::size_t last = points_.size() - 1;
  const std::size_t end =
      std::clamp<std::size_t>(static_cast<std::size_t>(later - points_.begin()), 1, last);
  const Point& a = points_[end - 1];
  const Point& b = points_[end];
  return a.counted + ((t - a.at) / (b.at - a.at)) * (b.counted - a.counted);
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
  while (points_.size() > 2 && points_[1].at <= to) points_.erase(points_.begin());
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
