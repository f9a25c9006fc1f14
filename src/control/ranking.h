// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace thermoe {

/// The best experts of many rows, each in the order of falling score, ties by rising id: as many of
/// each row as were cheap to find, `least` at least. What a plan routes needs no more of most rows.
class Ranking {
 public:
  std::span<const std::uint16_t> experts(std::size_t row) const {
    return std::span(expert_).subspan(begin_[row], begin_[row + 1] - begin_[row]);
  }
  /// The utilities of the same experts.
  std::span<const float> utilities(std::size_t row) const {
    return std::span(utility_).subspan(begin_[row], begin_[row + 1] - begin_[row]);
  }

  /// What a token loses with them is counted in these: the utilities, where no others were added.
  std::span<const float> loss_scores(std::size_t row) const {
    if (loss_score_.empty()) return utilities(row);
    return std::span(loss_score_).subspan(begin_[row], begin_[row + 1] - begin_[row]);
  }

  void reserve(std::size_t rows, std::size_t experts_a_row, bool loss_scores);
  /// Adds to the row under way.
  void add(int expert, float utility) {
    expert_.push_back(static_cast<std::uint16_t>(expert));
    utility_.push_back(utility);
  }
  /// Of the expert added last; of all or of none.
  void add_loss_score(float score) { loss_score_.push_back(score); }
  void end_row() { begin_.push_back(expert_.size()); }

 private:
  std::vector<std::size_t> begin_{0};
  std::vector<std::uint16_t> expert_{};
  std::vector<float> utility_{};
  std::vector<float> loss_score_{};
};

/// Finds the candidates for the top of a row: all values from a cut on, which follows the rows so
/// that about `aim` pass. Every value outside is below the cut.
class RowCut {
 public:
  /// 1 <= least <= aim.
  RowCut(int least, int aim) : least_(least), aim_(aim) {}

  /// Ids of the candidates in rising order; at least min(least, row.size()).
  std::span<const int> pass(std::span<const float> row);
  /// Of the last row.
  float cut() const { return cut_; }

 private:
  int count_above(std::span<const float> row);

  int least_, aim_;
  float above_mean_ = 0.0F;
  float cut_ = 0.0F;
  std::vector<int> ids_{};
  std::vector<float> scratch_{};
};

/// Sorts like (score falling, id rising): one integer compare instead of two.
inline std::uint64_t preference_key(float score, int expert) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 sorts as 0
  const std::uint32_t rising = (bits & 0x8000'0000U) != 0 ? ~bits : bits | 0x8000'0000U;
  return (static_cast<std::uint64_t>(~rising) << 32) | static_cast<std::uint32_t>(expert);
}
inline int expert_of(std::uint64_t key) { return static_cast<int>(key & 0xffff'ffffU); }
/// The score of which the key was made.
inline float preference_of(std::uint64_t key) {
  const auto rising = ~static_cast<std::uint32_t>(key >> 32);
  return std::bit_cast<float>((rising & 0x8000'0000U) != 0 ? rising & 0x7fff'ffffU : ~rising);
}

}  // namespace thermoe
