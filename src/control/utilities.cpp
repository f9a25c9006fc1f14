// SPDX-License-Identifier: Apache-2.0
#include "control/utilities.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

/// The largest value, and whether all are finite: eight side by side, for vector code.
std::pair<float, bool> largest_if_finite(std::span<const float> row) {
  constexpr float kMost = std::numeric_limits<float>::max();
  std::array<float, 8> most{};
  most.fill(-kMost);
  std::array<int, 8> bad{};
  std::size_t i = 0;
  for (; i + 8 <= row.size(); i += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      const float x = row[i + j];
      most[j] = x > most[j] ? x : most[j];
      bad[j] |= std::abs(x) <= kMost ? 0 : 1;
    }
  }
  for (; i < row.size(); ++i) {
    most[0] = row[i] > most[0] ? row[i] : most[0];
    bad[0] |= std::abs(row[i]) <= kMost ? 0 : 1;
  }
  return {*std::max_element(most.begin(), most.end()),
          std::all_of(bad.begin(), bad.end(), [](int b) { return b == 0; })};
}

float mass_of(std::uint64_t key) {  // of preference_key of a value >= 0
  return std::bit_cast<float>(~static_cast<std::uint32_t>(key >> 32) & 0x7fff'ffffU);
}

}  // namespace

Utilities::Utilities(const LogitSample& sample, int k)
    : layers_(sample.layers), tokens_(sample.tokens), experts_(sample.experts), k_(k) {
  THERMOE_EXPECT(layers_ >= 1 && tokens_ >= 1 && k >= 1 && k <= experts_,
                 "sample of layers={} tokens={} experts={} with k={}", layers_, tokens_, experts_,
                 k);
  const std::size_t rows = static_cast<std::size_t>(layers_) * static_cast<std::size_t>(tokens_);
  const auto width = static_cast<std::size_t>(experts_);
  THERMOE_EXPECT(sample.logits.size() == rows * width, "sample has {} logits, its shape says {}",
                 sample.logits.size(), rows * width);
  logits_ = sample.logits;
  most_.resize(rows);
  mass_.resize(rows);
  const int aim = std::min(experts_, 2 * k + 2);
  ranking_.reserve(rows, static_cast<std::size_t>(aim) + 4);
  RowCut cut(std::min(k + 1, aim), aim);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto [most, finite] = largest_if_finite(std::span(logits_).subspan(r * width, width));
    finite_ = finite_ && finite;
    if (!finite_) return;
    most_[r] = most;
    rank(r, cut);
  }
  keys_ = {};
}

void Utilities::rank(std::size_t r, RowCut& cut) {
  const auto width = static_cast<std::size_t>(experts_);
  const auto k = static_cast<std::size_t>(k_);
  const std::span<const float> logits = std::span(logits_).subspan(r * width, width);
  // The softmax's own normaliser cancels in u: only the ratio to the top-k mass remains.
  const float most = most_[r];
  std::span<const int> ids = cut.pass(logits);
  keys_.clear();
  for (const int e : ids)
    keys_.push_back(preference_key(std::exp(logits[static_cast<std::size_t>(e)] - most), e));
  std::sort(keys_.begin(), keys_.end());
  float mass = 0.0F;
  for (std::size_t i = 0; i < k; ++i) mass += mass_of(keys_[i]);
  mass_[r] = mass;
  // Equal u of unequal logits go by id as well: sort again by what they are divided to. Whatever
  // did not pass has at most the cut's u; candidates that do not surpass it are not certain.
  const bool all = ids.size() == width;
  const float outside = all ? -1.0F : std::exp(cut.cut() - most) / mass;
  for (std::uint64_t& key : keys_) key = preference_key(mass_of(key) / mass, expert_of(key));
  if (!std::is_sorted(keys_.begin(), keys_.end())) std::sort(keys_.begin(), keys_.end());
  std::size_t certain = keys_.size();
  while (certain > 0 && mass_of(keys_[certain - 1]) <= outside) --certain;
  if (certain < std::min(k + 1, width)) {  // a tie across the cut: take them all
    keys_.clear();
    for (int e = 0; e < experts_; ++e) {
      const float p = std::exp(logits[static_cast<std::size_t>(e)] - most);
      keys_.push_back(preference_key(p / mass, e));
    }
    std::sort(keys_.begin(), keys_.end());
    certain = width;
  }
  for (std::size_t i = 0; i < certain; ++i) ranking_.add(expert_of(keys_[i]), mass_of(keys_[i]));
  ranking_.end_row();
}

void Utilities::evaluate(std::size_t r, std::span<float> u) const {
  const auto width = static_cast<std::size_t>(experts_);
  const std::span logits = std::span(logits_).subspan(r * width, width);
  std::transform(logits.begin(), logits.end(), u.begin(),
                 [&](float x) { return std::exp(x - most_[r]) / mass_[r]; });
}

std::span<const float> Utilities::all() const {
  if (u_.empty() && finite_) {
    u_.resize(logits_.size());
    const auto width = static_cast<std::size_t>(experts_);
    for (std::size_t r = 0; r < most_.size(); ++r) {
      evaluate(r, std::span(u_).subspan(r * width, width));
    }
  }
  return u_;
}

}  // namespace thermoe
