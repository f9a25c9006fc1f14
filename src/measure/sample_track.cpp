// SPDX-License-Identifier: Apache-2.0
#include "measure/sample_track.h"

#include <algorithm>

namespace thermoe {
namespace {

constexpr Seconds kNear{0.1};  // a reading made for the edge is nearer than this

}  // namespace

void SampleTrack::open(Seconds at) {
  opened_ = at;
  first_.reset();
  max_.reset();
  area_ = 0.0;
  longest_gap_ = Seconds(0);
  if (!last_ || at - last_->at > kEdgeReach) return;
  first_ = last_;
  max_ = last_->value;
}

void SampleTrack::add(Seconds at, double value) {
  const Sample sample{.at = at, .value = value};
  if (!opened_) {
    last_ = sample;
    return;
  }
  // A sparse sensor's sample from before the window stands for its start only as long as none is
  // nearer.
  const bool alone = first_ && first_->at == last_->at;
  const bool sparse = alone && *opened_ - first_->at > kNear;
  const bool nearer = sparse && at - *opened_ < *opened_ - first_->at;
  if (!first_ || nearer) {
    first_ = last_ = sample;
    max_ = value;
    return;
  }
  const Seconds step = at - last_->at;
  area_ += 0.5 * (last_->value + value) * step.value;
  longest_gap_ = std::max(longest_gap_, step);
  max_ = std::max(*max_, value);
  last_ = sample;
}

std::optional<double> SampleTrack::mean() const {
  if (!first_) return std::nullopt;
  return covered() > Seconds(0) ? area_ / covered().value : first_->value;
}

}  // namespace thermoe
