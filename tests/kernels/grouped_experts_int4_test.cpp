// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <vector>

#include "grouped_experts_problem.h"

namespace thermoe {
namespace {

class Int4ExpertsTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(Int4Experts, Int4ExpertsTest, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

TEST_P(Int4ExpertsTest, Int4ExpertsMatchTheOracleOnTheirDequantisedWeights) {
  for (const ExpertKind kind : {ExpertKind::kSwiGlu, ExpertKind::kRelu, ExpertKind::kGelu}) {
    for (const bool zero : {false, true}) {
      const ExpertLayerShape shape{.experts = 4, .d_model = 64, .d_ff = 32, .kind = kind};
      LayerWeights weights = weights_for(GetParam(), shape, kind == ExpertKind::kGelu);
      ExpertBank bank(shape);
      bank.load_int4(weights.tensors(), {32, zero});
      for (int e = 0; e < 4; ++e) weights.quantise(e, {32, zero});
      const Batch batch = batch_for(GetParam(), shape, 7, 2);
      expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
    }
  }
}

TEST_P(Int4ExpertsTest, EachExpertRunsInThePrecisionThatItsVariantNames) {
  const ExpertLayerShape shape{.experts = 5, .d_model = 32, .d_ff = 32};
  LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  bank.load_int4(weights.tensors(), {.group = 32});
  const std::vector<std::uint8_t> variant{0, 1, 0, 1, 1};
  const Batch batch = batch_for(GetParam(), shape, 12, 3);
  for (int e = 0; e < 5; ++e) {
    if (variant[e] == 1) weights.quantise(e, {.group = 32});
  }
  expect_matches_oracle(GetParam(), run(GetParam(), bank, batch, variant), weights, batch);
}

}  // namespace
}  // namespace thermoe
