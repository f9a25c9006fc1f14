// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <utility>
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

TEST_P(Int4ExpertsTest, MatchTheOracleForEveryFormatAndNumberOfTokens) {
  for (const int group : {32, 64, 128}) {
    for (const bool zero : {false, true}) {
      const ExpertLayerShape shape{.experts = 5, .d_model = 384, .d_ff = 128};
      LayerWeights weights = weights_for(GetParam(), shape);
      ExpertBank bank(shape);
      bank.load_int4(weights.tensors(), {group, zero});
      for (int e = 0; e < 5; ++e) weights.quantise(e, {group, zero});
      for (const int tokens : {0, 1, 8, 9, 16, 17, 40, 100}) {
        SCOPED_TRACE(testing::Message() << group << ' ' << zero << ", tokens " << tokens);
        const Batch batch = batch_for(GetParam(), shape, tokens, 2);
        expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
      }
    }
  }
}

TEST_P(Int4ExpertsTest, InputsAndOutputsNeedNotFillUnitsAndPanels) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 160, .d_ff = 96};
  LayerWeights weights = weights_for(GetParam(), shape, true);
  ExpertBank bank(shape);
  bank.load_int4(weights.tensors(), {32, true});
  for (int e = 0; e < 3; ++e) weights.quantise(e, {32, true});
  for (const int tokens : {3, 20, 300}) {
    const Batch batch = batch_for(GetParam(), shape, tokens, 2);
    expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
  }
}

TEST_P(Int4ExpertsTest, ATokensResultDoesNotDependOnTheBatchAndRepeatsItself) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 1280, .d_ff = 384};
  const LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  bank.load_int4(weights.tensors(), {.group = 128});
  const Batch batch = batch_for(GetParam(), shape, 70, 2);
  const std::vector<float> together = run(GetParam(), bank, batch);
  EXPECT_EQ(run(GetParam(), bank, batch), together);
  const auto rows = [](const auto& all, int from, int to, int width) {
    return std::vector(all.begin() + from * width, all.begin() + to * width);
  };
  for (const auto& [from, to] : {std::pair{0, 1}, {3, 11}, {20, 36}, {38, 68}}) {
    Batch some = batch;
    some.tokens = to - from;
    some.hidden = rows(batch.hidden, from, to, shape.d_model);
    some.expert = rows(batch.expert, from, to, batch.slots);
    some.weight = rows(batch.weight, from, to, batch.slots);
    EXPECT_EQ(run(GetParam(), bank, some), rows(together, from, to, shape.d_model))
        << "tokens " << from << " to " << to;
  }
}

TEST_P(Int4ExpertsTest, EachExpertRunsInThePrecisionThatItsVariantNames) {
  const ExpertLayerShape shape{.experts = 5, .d_model = 32, .d_ff = 32};
  LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  bank.load_int4(weights.tensors(), {.group = 32});
  const std::vector<std::uint8_t> variant{0, 1, 0, 1, 1};
  for (int e = 0; e < 5; ++e) {
    if (variant[e] == 1) weights.quantise(e, {.group = 32});
  }
  for (const int tokens : {12, 40, 400}) {
    const Batch batch = batch_for(GetParam(), shape, tokens, 3);
    expect_matches_oracle(GetParam(), run(GetParam(), bank, batch, variant), weights, batch);
  }
}

}  // namespace
}  // namespace thermoe
