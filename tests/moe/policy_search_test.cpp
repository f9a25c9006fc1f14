// SPDX-License-Identifier: Apache-2.0
#include "moe/policy_search.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <numeric>

#include "core/router_spec.h"
#include "random_checkpoint.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

/// A small random model of k = 4 of 16 experts and text of two domains.
class Policies : public ::testing::Test {
 protected:
  Policies() {
    RandomCheckpoint(config_, 5).write(path_);
    scorer_ = SequenceScorer::load(path_, {.denominator = WeightDenominator::kPicked});
    for (unsigned d = 0; d < 12; ++d) documents_.push_back(random_bytes(300, 100 + d));
    text_ = {{.name = "a"}, {.name = "b"}};
    for (std::size_t d = 0; d < documents_.size(); ++d) {
      text_[d % 2].documents.emplace_back(documents_[d]);
    }
    batches_ = cover_text(text_, 4, 41);
  }
  PolicyScore score(const RoutingPlan& plan) const {
    return *score_policy(*scorer_, batches_, plan, {});
  }

  static ModelConfig config_of_the_test() {
    ModelConfig c = tiny_config();
    c.experts = 16;
    c.top_k = 4;
    return c;
  }
  ModelConfig config_ = config_of_the_test();
  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
  std::unique_ptr<SequenceScorer> scorer_{};
  std::vector<std::vector<std::uint8_t>> documents_{};
  std::vector<DomainText> text_{};
  DecodeBatches batches_{};
};

TEST_F(Policies, TheScoreOfAPlanIsThatOfEveryByteByDocument) {
  const PolicyScore all = score(scorer_->baseline());
  EXPECT_EQ(all.bytes, 12 * 300);
  ASSERT_EQ(all.document_bits.size(), 12U);
  const double bits = std::accumulate(all.document_bits.begin(), all.document_bits.end(), 0.0);
  EXPECT_NEAR(all.bits_per_byte, bits / (12 * 300), 1e-12);
  EXPECT_NEAR(all.kept_mass, 1.0, 1e-6);
  EXPECT_NEAR(all.quality_loss, 0.0, 1e-6);
  // One document alone, in a batch of other company: the baseline looks at each token alone.
  const std::vector<DomainText> alone{
      {.name = "b", .documents = {text_[0].documents[0], text_[1].documents[3]}}};
  const PolicyScore two =
      *score_policy(*scorer_, cover_text(alone, 2, 41), scorer_->baseline(), {});
  EXPECT_NEAR(two.document_bits[0], all.document_bits[0], 1e-3);
  EXPECT_NEAR(two.document_bits[1], all.document_bits[6 + 3], 1e-3);
}

TEST_F(Policies, TheNumberOfThreadsChangesNothing) {
  const RoutingPlan plan = policy_plan(scorer_->baseline(), Policy::kPricing, 0.3, 1);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = SequenceScorer::load(path_);
  at::set_num_threads(3);
  const auto three = SequenceScorer::load(path_);
  at::set_num_threads(before);
  ASSERT_EQ(one->threads(), 1);
  ASSERT_EQ(three->threads(), 3);
  const PolicyScore a = *score_policy(*one, batches_, plan, {});
  const PolicyScore b = *score_policy(*three, batches_, plan, {});
  EXPECT_EQ(a.document_bits, b.document_bits);
  EXPECT_EQ(a.mean_active, b.mean_active);
  EXPECT_EQ(a.expert_tokens, b.expert_tokens);
}

TEST_F(Policies, PricingAndReducedKAreFoundAtEqualCutsOfD) {
  const PolicyScore baseline = score(scorer_->baseline());
  for (const Policy policy : {Policy::kPricing, Policy::kReducedK}) {
    PolicySearch search(*scorer_, batches_, baseline, policy, 1, {});
    double before = 0.0;
    for (const double share : {0.9, 0.75, 0.6}) {
      const PolicyPoint point = *search.find(share);
      EXPECT_TRUE(point.reached);
      EXPECT_NEAR(point.score.mean_active, share * baseline.mean_active,
                  kActiveTolerance * share * baseline.mean_active);
      EXPECT_GT(point.score.quality_loss, before);
      before = point.score.quality_loss;
      const PolicyScore again = score(policy_plan(scorer_->baseline(), policy, point.knob, 1));
      EXPECT_EQ(again.document_bits, point.score.document_bits);
    }
  }
}

TEST_F(Policies, WhatAKnobCannotReachIsSaid) {
  const PolicyScore baseline = score(scorer_->baseline());
  PolicySearch reduced(*scorer_, batches_, baseline, Policy::kReducedK, 1, {});
  const PolicyPoint point = *reduced.find(0.05);
  EXPECT_FALSE(point.reached);
  EXPECT_EQ(point.knob, 1.0);
  PolicySearch guarded(*scorer_, batches_, baseline, Policy::kPricing, 4, {});
  EXPECT_FALSE(guarded.find(0.9)->reached) << "k_min = k leaves nothing to drop";
  EXPECT_TRUE(guarded.find(1.0)->reached);
}

TEST_F(Policies, AnInfinitePriceIsOpportunistic) {
  const PolicyScore priced = score(policy_plan(scorer_->baseline(), Policy::kPricing, 5.0, 2));
  const PolicyScore keeps = score(policy_plan(scorer_->baseline(), Policy::kOpportunistic, 2.0, 1));
  EXPECT_EQ(priced.document_bits, keeps.document_bits);
  EXPECT_LT(keeps.mean_active, score(scorer_->baseline()).mean_active);
}

TEST_F(Policies, DenominatorsAgreeUntilSomethingIsDropped) {
  const auto reference =
      SequenceScorer::load(path_, {.denominator = WeightDenominator::kReference});
  const auto none = SequenceScorer::load(path_, {.denominator = WeightDenominator::kNone});
  const RoutingPlan plan = scorer_->baseline();
  const PolicyScore own = score(plan);
  EXPECT_NEAR(score_policy(*reference, batches_, plan, {})->bits_per_byte, own.bits_per_byte, 1e-4);
  EXPECT_GT(std::abs(score_policy(*none, batches_, plan, {})->bits_per_byte - own.bits_per_byte),
            1e-3);
  const RoutingPlan fewer = policy_plan(plan, Policy::kReducedK, 1.0, 1);
  EXPECT_GT(std::abs(score_policy(*reference, batches_, fewer, {})->bits_per_byte -
                     score(fewer).bits_per_byte),
            1e-3);
}

TEST_F(Policies, AStopEndsScoringWithoutAResult) {
  std::atomic<bool> stop{false};
  double done = 0.0;
  const ScoringWatch watch{.stop = &stop, .progress = [&](double share) {
                             done = share;
                             stop = share > 0.2;
                           }};
  EXPECT_FALSE(score_policy(*scorer_, batches_, scorer_->baseline(), watch));
  EXPECT_GT(done, 0.2);
  EXPECT_LT(done, 0.8);
  EXPECT_FALSE(score_domains(*scorer_, text_, watch));
  const PolicyScore baseline = score(scorer_->baseline());
  PolicySearch search(*scorer_, batches_, baseline, Policy::kPricing, 1, watch);
  EXPECT_FALSE(search.find(0.8));
}

TEST_F(Policies, DomainsAreScoredWithMoreContextThanBatches) {
  const auto domains = *score_domains(*scorer_, text_, {});
  ASSERT_EQ(domains.size(), 2U);
  EXPECT_EQ(domains[0].bytes, 6 * 300);
  EXPECT_EQ(domains[1].name, "b");
  EXPECT_GT(domains[0].bits_per_byte, 4.0);
}

}  // namespace
}  // namespace thermoe
