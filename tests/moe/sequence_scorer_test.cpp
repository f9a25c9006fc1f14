// SPDX-License-Identifier: Apache-2.0
#include "moe/sequence_scorer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "core/errors.h"
#include "moe/decoder.h"
#include "moe/language_model.h"
#include "moe/policy_search.h"
#include "random_checkpoint.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

constexpr int kBatch = 4;
constexpr int kLength = 40;

class FullForward : public ::testing::Test {
 protected:
  FullForward() { RandomCheckpoint(config_, 5).write(path_); }

  /// Decodes the text step by step: logits [kBatch, kLength, vocab], and the steps' mean
  /// statistics.
  at::Tensor decode(const RoutingPlan& plan, ExpertType experts = ExpertType::kSimple,
                    std::optional<WeightDenominator> denominator = {}) {
    const auto decoder = Decoder::load(path_, {.streams = kBatch,
                                               .context = config_.context,
                                               .experts = experts,
                                               .denominator = denominator});
    std::vector<at::Tensor> steps;
    active_ = kept_ = 0.0;
    for (int p = 0; p < kLength; ++p) {
      std::vector<std::uint8_t> bytes;
      for (int b = 0; b < kBatch; ++b) bytes.push_back(text_[b * kLength + p]);
      const DecodeStep& step = decoder->step(bytes, plan);
      const std::vector<float> logits(step.logits.begin(), step.logits.end());
      steps.push_back(at::tensor(logits).view({kBatch, config_.vocab}));
      active_ += step.stats.mean_active() / kLength;
      kept_ += step.stats.kept_mass / kLength;
    }
    return at::stack(steps, 1);
  }
  at::Tensor score_logits(SequenceScorer& scorer, const RoutingPlan& plan) const {
    return at::tensor(scorer.logits(text_, kBatch, kLength, plan)).view({kBatch, kLength, -1});
  }
  static double relative_error(const at::Tensor& got, const at::Tensor& want) {
    return ((got - want).abs().max() / want.abs().max()).item<double>();
  }

  ModelConfig config_ = tiny_config();
  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
  std::vector<std::uint8_t> text_ = random_bytes(kBatch * kLength, 6);
  double active_ = 0.0;
  double kept_ = 0.0;
};

TEST_F(FullForward, DecodingWithTheCacheEqualsTheLanguageModel) {
  const at::NoGradGuard no_grad;
  LanguageModel model = load_language_model(path_);
  const at::Tensor bytes =
      at::tensor(std::vector<std::int64_t>(text_.begin(), text_.end())).view({kBatch, kLength});
  const at::Tensor full = model->forward(bytes).logits;
  EXPECT_LT(relative_error(decode(baseline_plan(config_)), full), 1e-4);
}

TEST_F(FullForward, ScoringEqualsDecodingUnderBaseline) {
  const auto scorer = SequenceScorer::load(path_);
  const RoutingPlan plan = baseline_plan(config_);
  EXPECT_LT(relative_error(score_logits(*scorer, plan), decode(plan)), 1e-4);
}

TEST_F(FullForward, ScoringEqualsDecodingUnderPricesAndBiases) {
  const auto scorer = SequenceScorer::load(path_);
  RoutingPlan plan = baseline_plan(config_);
  for (int l = 0; l < config_.layers; ++l) {
    plan.layer(l).k_min = 1;
    plan.selection_bias(l)[l] = 0.1F;
    std::ranges::fill(plan.activation_price(l), 0.4F);
  }
  const at::Tensor decoded = decode(plan);
  EXPECT_LT(relative_error(score_logits(*scorer, plan), decoded), 1e-4);
  EXPECT_GT(relative_error(decoded, decode(baseline_plan(config_))), 1e-3);
}

TEST_F(FullForward, ScoringEqualsDecodingWithAMixedKAndMixedPrecision) {
  const auto scorer = SequenceScorer::load(path_, {.experts = ExpertType::kMixed});
  RoutingPlan plan = baseline_plan(config_, ExpertType::kMixed);
  for (int l = 0; l < config_.layers; ++l) {
    plan.layer(l).k = plan.layer(l).k_min = 1;
    plan.layer(l).extra_k_share = 0.3F;
  }
  EXPECT_LT(relative_error(score_logits(*scorer, plan), decode(plan, ExpertType::kMixed)), 1e-4);
}

TEST_F(FullForward, ScoringEqualsDecodingUnderAnOpportunisticPlanWithEitherDenominator) {
  RoutingPlan plan = baseline_plan(config_);
  plan.set_opportunistic(1.3);
  const at::Tensor picked = decode(plan, ExpertType::kSimple, WeightDenominator::kPicked);
  const at::Tensor reference = decode(plan);
  EXPECT_LT(kept_, 1.0);
  EXPECT_GT(relative_error(picked, reference), 1e-3);
  EXPECT_LT(relative_error(score_logits(*SequenceScorer::load(path_), plan), reference), 1e-4);
  const auto scorer = SequenceScorer::load(path_, {.denominator = WeightDenominator::kPicked});
  EXPECT_LT(relative_error(score_logits(*scorer, plan), picked), 1e-4);
}

TEST_F(FullForward, TheCheckpointsDenominatorHoldsUntilAnotherIsAskedFor) {
  RoutingPlan plan = baseline_plan(config_);
  plan.set_opportunistic(1.0);
  const at::Tensor reference = decode(plan);
  config_.weight_denominator = WeightDenominator::kPicked;
  RandomCheckpoint(config_, 5).write(path_);
  EXPECT_GT(relative_error(decode(plan), reference), 1e-3);
  EXPECT_TRUE(
      at::equal(decode(plan, ExpertType::kSimple, WeightDenominator::kReference), reference));
}

TEST_F(FullForward, ScoringEqualsDecodingWithInt4ExpertsAndInt4IsNotF32) {
  const auto scorer = SequenceScorer::load(path_, {.experts = ExpertType::kQuantized});
  const at::Tensor int4 = score_logits(*scorer, scorer->baseline());
  EXPECT_LT(relative_error(int4, decode(scorer->baseline(), ExpertType::kQuantized)), 1e-4);
  const auto simple = SequenceScorer::load(path_);
  EXPECT_GT(relative_error(int4, score_logits(*simple, simple->baseline())), 1e-3);
}

TEST_F(FullForward, PoliciesKeepTheVariantsOfMixedExperts) {
  const auto scorer = SequenceScorer::load(path_, {.experts = ExpertType::kMixed});
  for (const Policy policy : kPolicies) {
    const RoutingPlan plan = policy_plan(scorer->baseline(), policy, 1.5, 1);
    EXPECT_EQ(plan.variant(1)[2], 0);
    EXPECT_EQ(plan.variant(1)[3], 1);
  }
}

TEST_F(FullForward, TheScoreIsTheMeanOverTargets) {
  const auto scorer = SequenceScorer::load(path_);
  RoutingPlan plan = baseline_plan(config_);
  for (int l = 0; l < config_.layers; ++l) {
    plan.layer(l).k_min = 1;
    std::ranges::fill(plan.activation_price(l), 0.4F);
  }
  // The last byte is a target only: decode statistics are of the positions before it.
  const at::Tensor logits = decode(plan);
  double nats = 0.0;
  for (int b = 0; b < kBatch; ++b) {
    for (int p = 0; p + 1 < kLength; ++p) {
      nats -= at::log_softmax(logits[b][p].to(at::kDouble), -1)[text_[b * kLength + p + 1]]
                  .item<double>();
    }
  }
  const SequenceScore score = scorer->score(text_, kBatch, kLength, plan);
  EXPECT_EQ(score.targets, kBatch * (kLength - 1));
  EXPECT_NEAR(score.bits_per_byte, nats / std::log(2.0) / static_cast<double>(score.targets), 1e-4);
  EXPECT_NEAR(score.mean_active, active_, 0.1);
  EXPECT_NEAR(score.kept_mass, kept_, 0.01);
  EXPECT_LT(score.kept_mass, 1.0);
}

TEST_F(FullForward, RefusesCallsThatDoNotFit) {
  const auto scorer = SequenceScorer::load(path_);
  const RoutingPlan plan = baseline_plan(config_);
  EXPECT_THROW(scorer->score(text_, kBatch, kLength + 1, plan), PreconditionError);
  EXPECT_THROW(scorer->score(std::span(text_).first(4), 4, 1, plan), PreconditionError);
  EXPECT_THROW(scorer->score(text_, kBatch, kLength, RoutingPlan(2, 4, 2)), PreconditionError);
  const auto long_text = random_bytes(60, 1);
  EXPECT_THROW(scorer->score(long_text, 1, 60, plan), PreconditionError);
}

}  // namespace
}  // namespace thermoe
