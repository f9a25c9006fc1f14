// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/permute_combine.h"
#include "operand.h"

namespace thermoe {

/// The suite runs on the backends that a program instantiates it for.
class PermuteCombineTest : public ::testing::TestWithParam<Backend> {};

inline std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  return std::string(to_string(info.param));
}

struct PermuteShape {
  int tokens;
  int slots;
  int experts;
  int width;
};

/// Random picks, a sixth of the slots empty, and numbers that f32 and bf16 both hold.
struct PermuteProblem {
  explicit PermuteProblem(const PermuteShape& shape, unsigned seed = 7);

  PermuteShape shape;
  std::vector<std::int32_t> expert{};  // [tokens, slots]
  std::vector<float> weight{};         // [tokens, slots]
  std::vector<float> x{};              // [tokens, width]
  std::vector<float> rows{};           // [tokens * slots, width] given to combine
  std::vector<float> grad_out{};       // [tokens, width]
};

/// What the ops make of a problem; in f32 whatever they stored.
struct PermuteResult {
  std::vector<std::int32_t> first{};  // [experts + 1]
  std::vector<std::int32_t> pair{};   // [filled]
  std::vector<std::int32_t> row{};
  std::vector<float> permuted{};
  std::vector<float> combined{};
  std::vector<float> grad_rows{};
  std::vector<float> grad_weight{};
  std::vector<float> grad_x{};  // the rows of grad_rows summed back to their tokens
};

/// The ops on a problem's operands, one after another.
class PermuteCombineRun {
 public:
  /// Outputs are poisoned.
  PermuteCombineRun(Backend backend, const PermuteProblem& problem, FloatType type);

  void run(Stream stream);
  PermuteResult result();

 private:
  Operand<std::byte> tensor(const std::vector<float>& values) const;

  Backend backend_;
  PermuteShape shape_;
  FloatType type_;
  Operand<std::int32_t> expert_, first_, pair_, row_;
  Operand<float> weight_, grad_weight_;
  Operand<std::byte> x_, rows_, grad_out_, permuted_, combined_, grad_rows_, grad_x_, workspace_;
};

PermuteResult run_permute_combine(Backend backend, const PermuteProblem& problem, FloatType type);

/// Sizes that the suite tries.
std::vector<PermuteShape> permute_shapes();

}  // namespace thermoe
