// SPDX-License-Identifier: Apache-2.0
#include "control/ranking.h"

#include <algorithm>
#include <array>
#include <functional>

namespace thermoe {
namespace {

/// Eight sums side by side, which a compiler can turn into vector code.
float mean_of(std::span<const float> row) {
  std::array<float, 8> sum{};
  std::size_t i = 0;
  for (; i + 8 <= row.size(); i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sum[j] += row[i + j];
  }
  for (; i < row.size(); ++i) sum[0] += row[i];
  float all = 0.0F;
  for (const float s : sum) all += s;
  return all / static_cast<float>(row.size());
}

}  // namespace

void Ranking::reserve(std::size_t rows, std::size_t experts_a_row, bool loss_scores) {
  begin_.reserve(rows + 1);
  expert_.reserve(rows * experts_a_row);
  utility_.reserve(rows * experts_a_row);
  if (loss_scores) loss_score_.reserve(rows * experts_a_row);
}

int RowCut::count_above(std::span<const float> row) {
  int n = 0;
  for (std::size_t e = 0; e < row.size(); ++e) {  // without a branch: half of them would be missed
    ids_[static_cast<std::size_t>(n)] = static_cast<int>(e);
    n += row[e] >= cut_ ? 1 : 0;
  }
  return n;
}

std::span<const int> RowCut::pass(std::span<const float> row) {
  ids_.resize(row.size() + 1);
  const float mean = mean_of(row);
  cut_ = mean + above_mean_;
  int n = count_above(row);
  const auto size = static_cast<int>(row.size());
  if (n < std::min(least_, size) || n > 3 * aim_) {
    const int wanted = std::min(aim_, size);
    scratch_.assign(row.begin(), row.end());
    std::nth_element(scratch_.begin(), scratch_.begin() + (wanted - 1), scratch_.end(),
                     std::greater<>());
    cut_ = scratch_[static_cast<std::size_t>(wanted) - 1];
    above_mean_ = cut_ - mean;
    n = count_above(row);
  }
  above_mean_ *= n > aim_ ? 1.01F : 0.99F;
  return std::span(ids_).first(static_cast<std::size_t>(n));
}

}  // namespace thermoe
