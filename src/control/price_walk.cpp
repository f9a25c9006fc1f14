// SPDX-License-Identifier: Apache-2.0
#include "control/price_walk.h"

#include <algorithm>
#include <limits>

namespace thermoe {
namespace {

constexpr std::uint16_t kUnknown = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint16_t kShort = kUnknown - 1;  // beyond every rank that is known

std::size_t variants_in(std::span<const std::uint8_t> variant) {
  return variant.empty() ? 1 : std::size_t{1} + *std::max_element(variant.begin(), variant.end());
}

}  // namespace

PriceWalk::PriceWalk(std::shared_ptr<const PricedSample> sample,
                     std::span<const std::uint8_t> variant)
    : sample_(std::move(sample)),
      variant_(variant),
      experts_(static_cast<std::size_t>(sample_->utilities().experts())),
      reach_(static_cast<std::size_t>(sample_->utilities().reach())),
      tokens_(static_cast<std::size_t>(sample_->utilities().tokens())),
      histogram_(variants_in(variant), static_cast<int>(tokens_)),
      plain_histogram_(histogram_) {
  const std::size_t cells = experts_ * static_cast<std::size_t>(sample_->utilities().layers());
  const std::size_t rows = tokens_ * static_cast<std::size_t>(sample_->utilities().layers());
  active_.resize(cells);
  for (std::size_t e = 0; e < cells; ++e) active_[e] = sample_->picked(e) ? 1 : 0;
  loads_.assign(cells, 0);
  rank_.assign(cells * tokens_, kUnknown);
  last_.assign(rows, static_cast<Rank>(sample_->k() - 1));
  missing_.assign(rows, 0);
  sorted_.assign(rows, 0);
  kept_.assign(rows, 0.0);
  moved_.assign(rows, 1);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t base = row / tokens_ * experts_;
    const auto best = sample_->ranking().experts(row);
    for (std::size_t i = 0; i < best.size(); ++i) {
      rank_[(base + best[i]) * tokens_ + row % tokens_] = static_cast<Rank>(i);
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(sample_->k()); ++i) {
      ++loads_[base + best[i]];
    }
  }
  for (std::size_t e = 0; e < cells; ++e) {
    histogram_.move(variant_.empty() ? 0 : variant_[e], 0, loads_[e]);
  }
  plain_histogram_ = histogram_;
  plain_kept_ = kept();
}

void PriceWalk::move_to(double lambda) {
  const auto& thresholds = sample_->thresholds();
  while (dropped_ < thresholds.size() && thresholds[dropped_] < lambda) {
    drop(sample_->cells()[dropped_++]);
  }
  while (dropped_ > 0 && thresholds[dropped_ - 1] >= lambda) {
    restore(sample_->cells()[--dropped_]);
  }
}

void PriceWalk::add_load(std::size_t cell, int change) {
  histogram_.move(variant_.empty() ? 0 : variant_[cell], loads_[cell], loads_[cell] + change);
  loads_[cell] += change;
}

/// The token's order as far as rank `last` at least, if it reaches so many experts.
std::span<const std::uint16_t> PriceWalk::order(std::size_t row, std::size_t last) {
  const auto best = sample_->ranking().experts(row);
  if (last < best.size() || best.size() == reach_) return best;
  const auto all = sample_->full_order(row);
  if (sorted_[row] == 0) {
    const std::size_t base = row / tokens_ * experts_;
    for (std::size_t i = best.size(); i < reach_; ++i) {
      rank_[(base + all[i]) * tokens_ + row % tokens_] = static_cast<Rank>(i);
    }
    sorted_[row] = 1;
  }
  return all;
}

void PriceWalk::drop(std::size_t cell) {
  const std::size_t base = cell / experts_ * experts_;
  const std::size_t first = cell / experts_ * tokens_;
  active_[cell] = 0;
  for (std::size_t t = 0; t < tokens_; ++t) {
    const std::size_t row = first + t;
    if (rank_[cell * tokens_ + t] > last_[row]) continue;  // not picked, unknown included
    moved_[row] = 1;
    add_load(cell, -1);
    if (last_[row] == kShort) {
      ++missing_[row];
      continue;
    }
    std::size_t i = std::size_t{last_[row]} + 1;
    for (; i < reach_; ++i) {
      const auto known = order(row, i);
      if (active_[base + known[i]] != 0) break;
    }
    if (i < reach_) {
      add_load(base + order(row, i)[i], 1);
      last_[row] = static_cast<Rank>(i);
    } else {
      missing_[row] = 1;
      last_[row] = kShort;
    }
  }
}

void PriceWalk::restore(std::size_t cell) {
  const std::size_t base = cell / experts_ * experts_;
  const std::size_t first = cell / experts_ * tokens_;
  active_[cell] = 1;
  for (std::size_t t = 0; t < tokens_; ++t) {
    const std::size_t row = first + t;
    if (rank_[cell * tokens_ + t] > last_[row]) continue;
    moved_[row] = 1;
    add_load(cell, 1);
    std::size_t i = last_[row];
    if (last_[row] == kShort) {
      if (--missing_[row] > 0) continue;
      i = reach_;
    } else {
      add_load(base + order(row, i)[i], -1);
    }
    const auto known = order(row, i - 1);
    --i;
    while (active_[base + known[i]] == 0) --i;
    last_[row] = static_cast<Rank>(i);
  }
}

double PriceWalk::kept_of(std::size_t row) {
  const std::size_t base = row / tokens_ * experts_;
  const std::size_t end = last_[row] == kShort ? reach_ : std::size_t{last_[row]} + 1;
  const auto known = order(row, end - 1);
  double kept = 0.0;
  for (std::size_t i = 0; i < end; ++i) {
    if (active_[base + known[i]] != 0) kept += sample_->utility(row, i);
  }
  return sample_->utilities().kept(row, kept);
}

KeptMass PriceWalk::kept() {
  KeptMass kept;
  for (std::size_t row = 0; row < kept_.size(); ++row) {
    if (moved_[row] != 0) kept_[row] = kept_of(row), moved_[row] = 0;
    kept.add(kept_[row]);
  }
  return kept;
}

}  // namespace thermoe
