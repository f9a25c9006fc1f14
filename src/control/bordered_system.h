// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace thermoe {

/// Symmetric linear equations of independent blocks that share a few border unknowns:
///   K_l y_l + B_l x = right_l,   sum_l B_l^T y_l = right_x
/// Small and dense within a block; the border is eliminated by its Schur complement.
class BorderedSystem {
 public:
  class Block {
   public:
    Block(std::size_t size, std::size_t border)
        : size_(size), border_(border), matrix_(size * (size + border + 1), 0.0) {}
    double& at(std::size_t i, std::size_t j) { return matrix_[i * width() + j]; }
    double& border(std::size_t i, std::size_t r) { return matrix_[i * width() + size_ + r]; }
    double& right(std::size_t i) { return matrix_[i * width() + size_ + border_]; }

   private:
    friend class BorderedSystem;
    std::size_t width() const { return size_ + border_ + 1; }
    std::size_t size_, border_;
    std::vector<double> matrix_;  ///< [size, size + border + 1]: K, B, right
  };
  struct Solution {
    std::vector<std::vector<double>> blocks{};
    std::vector<double> border{};
  };

  explicit BorderedSystem(std::size_t border) : used_(border, 0), right_(border, 0.0) {}
  void add(Block block) { blocks_.push_back(std::move(block)); }
  /// The unknown takes part, with this right-hand side; otherwise it is 0.
  void set_border(std::size_t r, double right) { used_[r] = 1, right_[r] = right; }
  /// Nothing where the equations are singular.
  std::optional<Solution> solve() const;

 private:
  std::vector<Block> blocks_{};
  std::vector<char> used_;
  std::vector<double> right_;
};

}  // namespace thermoe
