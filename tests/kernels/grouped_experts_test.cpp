// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "grouped_experts_problem.h"

namespace thermoe {
namespace {

class GroupedExpertsTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(GroupedExperts, GroupedExpertsTest, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

constexpr ExpertKind kKinds[] = {ExpertKind::kSwiGlu, ExpertKind::kRelu, ExpertKind::kGelu};

TEST_P(GroupedExpertsTest, MatchesTheOracleForEveryKindAndRaggedSize) {
  for (const ExpertKind kind : kKinds) {
    for (const auto& [d, ff] : {std::pair{48, 32}, {33, 17}, {16, 5}, {1, 1}}) {
      const ExpertLayerShape shape{.experts = 6, .d_model = d, .d_ff = ff, .kind = kind};
      const LayerWeights weights =
          weights_for(GetParam(), shape, /*biased=*/kind != ExpertKind::kSwiGlu);
      ExpertBank bank(shape);
      bank.load_f32(weights.tensors());
      for (const int tokens : {0, 1, 2, 3, 9}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(kind) << ' ' << d << ' ' << tokens);
        const Batch batch = batch_for(GetParam(), shape, tokens, 3);
        expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
      }
    }
  }
}

TEST_P(GroupedExpertsTest, MatchesTheOracleWhereWeightsAreHeldAsBf16) {
  for (const ExpertKind kind : kKinds) {
    for (const auto& [d, ff] : {std::pair{96, 80}, {33, 17}, {16, 5}, {1, 1}}) {
      const ExpertLayerShape shape{.experts = 3, .d_model = d, .d_ff = ff, .kind = kind};
      LayerWeights weights(shape, /*biased=*/kind != ExpertKind::kSwiGlu);
      weights.cut_to_bf16();
      ExpertBank bank(shape);
      bank.load_f32(weights.tensors());
      ASSERT_TRUE(bank.f32_is_bf16());
      for (const int tokens : {1, 7, 23}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(kind) << ' ' << d << ' ' << tokens);
        const Batch batch = batch_for(GetParam(), shape, tokens, 3);
        expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
      }
    }
  }
}

TEST_P(GroupedExpertsTest, AnExpertWithoutTokensIsNeverRead) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 16, .d_ff = 16};
  LayerWeights weights = weights_for(GetParam(), shape);
  for (auto* w : {&weights.gate, &weights.up, &weights.down}) {
    std::fill(w->begin() + 256, w->begin() + 512, std::numeric_limits<float>::quiet_NaN());
  }
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  Batch batch = batch_for(GetParam(), shape, 10, 2);
  std::replace(batch.expert.begin(), batch.expert.end(), 1, 2);
  for (const float y : run(GetParam(), bank, batch)) EXPECT_TRUE(std::isfinite(y));
}

TEST_P(GroupedExpertsTest, ATokenWithoutExpertsGetsZeros) {
  const ExpertLayerShape shape{.experts = 2, .d_model = 8, .d_ff = 4};
  const LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  Batch batch = batch_for(GetParam(), shape, 3, 2);
  batch.expert = {0, 1, -1, -1, 1, -1};
  const std::vector<float> out = run(GetParam(), bank, batch);
  EXPECT_EQ(std::vector(out.begin() + 8, out.begin() + 16), std::vector<float>(8, 0.0F));
  EXPECT_NE(out[0], 0.0F);
}

// What a sanitizer can watch in its time: every kernel, whole and ragged.
TEST_P(GroupedExpertsTest, MatchesTheOracleInCallsSmallEnoughToSanitize) {
  for (const ExpertKind kind : {ExpertKind::kSwiGlu, ExpertKind::kGelu}) {
    for (const int tokens : {3, 12, 30, 70}) {
      const ExpertLayerShape shape{.experts = 3, .d_model = 70, .d_ff = 40, .kind = kind};
      const LayerWeights weights = weights_for(GetParam(), shape, /*biased=*/true);
      ExpertBank bank(shape);
      bank.load_f32(weights.tensors());
      const Batch batch = batch_for(GetParam(), shape, tokens, 2);
      expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
    }
  }
}

// From less than a block of tokens an expert to many, evenly and all to one.
TEST_P(GroupedExpertsTest, MatchesTheOracleForAnyNumberOfTokensAnExpert) {
  for (const auto& [experts, tokens, slots] :
       {std::tuple{1, 101, 1}, {5, 17, 2}, {5, 30, 3}, {64, 100, 2}, {4, 300, 3}, {2, 2100, 1}}) {
    SCOPED_TRACE(testing::Message() << tokens << " tokens on " << experts);
    const ExpertLayerShape shape{.experts = experts, .d_model = 24, .d_ff = 40};
    const LayerWeights weights = weights_for(GetParam(), shape);
    ExpertBank bank(shape);
    bank.load_f32(weights.tensors());
    const Batch batch = batch_for(GetParam(), shape, tokens, slots);
    expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
  }
}

TEST_P(GroupedExpertsTest, MatchesTheOracleForAnyNumberOfActiveExperts) {
  for (const int experts : {8, 60, 1024}) {
    const ExpertLayerShape shape{.experts = experts, .d_model = 16, .d_ff = 8};
    const LayerWeights weights = weights_for(GetParam(), shape);
    ExpertBank bank(shape);
    bank.load_f32(weights.tensors());
    for (const int active : {1, 2, 7, experts / 2, experts}) {
      SCOPED_TRACE(testing::Message() << active << " of " << experts);
      const Batch batch = batch_for(GetParam(), shape, 16, 10, 4, active);
      expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
    }
  }
}

// Inputs beyond those that a kernel takes in one piece, whole and ragged.
TEST_P(GroupedExpertsTest, MatchesTheOracleForWideExperts) {
  for (const auto& [d, ff, tokens] :
       {std::tuple{512, 192, 11}, {584, 328, 11}, {345, 257, 11}, {345, 257, 140}}) {
    SCOPED_TRACE(testing::Message() << d << ' ' << ff << ' ' << tokens);
    const ExpertLayerShape shape{.experts = 3, .d_model = d, .d_ff = ff};
    const LayerWeights weights = weights_for(GetParam(), shape);
    ExpertBank bank(shape);
    bank.load_f32(weights.tensors());
    const Batch batch = batch_for(GetParam(), shape, tokens, 2);
    expect_matches_oracle(GetParam(), run(GetParam(), bank, batch), weights, batch);
  }
}

TEST_P(GroupedExpertsTest, ATokensResultDoesNotDependOnTheBatch) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 400, .d_ff = 264};
  const LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  const Batch batch = batch_for(GetParam(), shape, 150, 2);
  const std::vector<float> together = run(GetParam(), bank, batch);
  const auto rows = [](const auto& all, int from, int to, int width) {
    return std::vector(all.begin() + from * width, all.begin() + to * width);
  };
  for (const auto& [from, to] : {std::pair{0, 1}, {3, 8}, {20, 36}, {100, 132}}) {
    Batch some = batch;
    some.tokens = to - from;
    some.hidden = rows(batch.hidden, from, to, shape.d_model);
    some.expert = rows(batch.expert, from, to, batch.slots);
    some.weight = rows(batch.weight, from, to, batch.slots);
    EXPECT_EQ(run(GetParam(), bank, some), rows(together, from, to, shape.d_model))
        << "tokens " << from << " to " << to;
  }
}

}  // namespace
}  // namespace thermoe
