// SPDX-License-Identifier: Apache-2.0
#include "run/trace_decoder.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kExperts = 16;

RouterLogits random_trace(int samples = 3, int tokens = 8) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  RouterLogits trace{.spec = {.experts = kExperts, .k = 4}};
  for (int s = 0; s < samples; ++s) {
    LogitSample& sample =
        trace.samples.emplace_back(LogitSample{.layers = 2, .tokens = tokens, .experts = kExperts});
    for (int i = 0; i < 2 * tokens * kExperts; ++i) sample.logits.push_back(normal(random));
  }
  return trace;
}

/// Distinct experts of the tokens' four largest logits, mean over layers.
double active_experts(const LogitSample& sample) {
  double sum = 0.0;
  for (int l = 0; l < sample.layers; ++l) {
    std::set<std::size_t> active;
    for (int t = 0; t < sample.tokens; ++t) {
      const auto row = sample.layer(l).subspan(static_cast<std::size_t>(t) * kExperts, kExperts);
      for (std::size_t e = 0; e < kExperts; ++e) {
        const auto better =
            std::count_if(row.begin(), row.end(), [&](float x) { return x > row[e]; });
        if (better < 4) active.insert(e);
      }
    }
    sum += static_cast<double>(active.size());
  }
  return sum / sample.layers;
}

TEST(TraceDecoder, PlaysTheSamplesInOrderAgainAndAgainAsTheModelItselfRoutesThem) {
  const RouterLogits trace = random_trace();
  TraceDecoder decoder(trace);
  for (int i = 0; i < 7; ++i) {
    const RoutedStep step = decoder.next(decoder.baseline());
    const LogitSample& expected = trace.samples[static_cast<std::size_t>(i % 3)];
    EXPECT_EQ(step.sample.logits, expected.logits) << i;
    EXPECT_DOUBLE_EQ(step.stats.mean_active(), active_experts(expected)) << i;
    EXPECT_DOUBLE_EQ(step.stats.kept_mass, 1.0);
    EXPECT_DOUBLE_EQ(step.stats.quality_loss.value(), 0.0);
    EXPECT_FALSE(step.prediction.has_value()) << "nothing was decoded";
  }
  decoder.rewind();
  EXPECT_EQ(decoder.next(decoder.baseline()).sample.logits, trace.samples.front().logits);
}

TEST(TraceDecoder, APlanThatPricesExpertsIsFollowedAndItsLossCounted) {
  const RouterLogits trace = random_trace();
  TraceDecoder decoder(trace);
  RoutingPlan plan = decoder.baseline();
  plan.set_opportunistic(1.0);
  const RoutedStep step = decoder.next(plan);
  EXPECT_LT(step.stats.mean_active(), active_experts(trace.samples.front()));
  EXPECT_LT(step.stats.kept_mass, 1.0);
  // Jensen: the mean of -ln is more than -ln of the mean, where tokens differ.
  EXPECT_GT(step.stats.quality_loss.value(), -std::log(step.stats.kept_mass));
  EXPECT_LT(step.stats.quality_loss.value(), 1.0);
}

TEST(TraceDecoder, RoutesByTheModelsOwnBiasAndScores) {
  // Expert e of the layer has the same logit in every row; beta turns their order around.
  RouterLogits trace{.spec = {.experts = kExperts, .k = 4, .score = ScoreFunction::kSigmoid}};
  LogitSample& sample =
      trace.samples.emplace_back(LogitSample{.layers = 1, .tokens = 2, .experts = kExperts});
  for (int i = 0; i < 2 * kExperts; ++i) {
    sample.logits.push_back(0.1F * static_cast<float>(i % kExperts));
    if (i < kExperts) trace.spec.selection_bias.push_back(-0.1F * static_cast<float>(i));
  }
  TraceDecoder decoder(trace);
  const RoutedStep step = decoder.next(decoder.baseline());
  EXPECT_EQ(std::vector(step.stats.counts.begin(), step.stats.counts.begin() + 5),
            (std::vector{2, 2, 2, 2, 0}))
      << "beta outweighs a sigmoid's slope of at most 1/4";
  EXPECT_NEAR(step.stats.kept_mass, 1.0, 1e-6) << "of what the model itself picks";
  EXPECT_EQ(decoder.router(), trace.spec);
}

TEST(TraceDecoder, MixedExpertsHaveTheirPrecisionsInThePlan) {
  const RouterLogits trace = random_trace();
  EXPECT_EQ(TraceDecoder(trace, ExpertType::kMixed).baseline().variant(1)[3], 1);
  EXPECT_EQ(TraceDecoder(trace).baseline().variant(1)[3], 0);
}

/// Rows of a token in every layer.
std::vector<float> token_of(const LogitSample& sample, int token) {
  std::vector<float> rows;
  for (int l = 0; l < sample.layers; ++l) {
    const auto row = sample.layer(l).subspan(static_cast<std::size_t>(token) * kExperts, kExperts);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

TEST(TraceDecoder, AStepOfAnyNumberOfSequencesIsDrawnFromTheTraceAndNoTokenStandsTwice) {
  const RouterLogits trace = random_trace(7);
  TraceDecoder decoder(trace, ExpertType::kSimple, 30);
  for (const int sequences : {1, 5, 8, 9, 24, 30, 8}) {
    const RoutedStep step = decoder.next(decoder.baseline(), sequences);
    EXPECT_EQ(step.stats.tokens, sequences);
    ASSERT_EQ(step.sample.tokens, sequences);
    EXPECT_DOUBLE_EQ(step.stats.mean_active(), active_experts(step.sample)) << sequences;
    std::set<std::vector<float>> tokens;
    for (int t = 0; t < sequences; ++t) tokens.insert(token_of(step.sample, t));
    EXPECT_EQ(tokens.size(), static_cast<std::size_t>(sequences)) << "some token stands twice";
  }
}

TEST(TraceDecoder, APlaceAndAStepMeanTheSameLogitsHoweverManySequencesThereAre) {
  const RouterLogits trace = random_trace(7);
  TraceDecoder few(trace, ExpertType::kSimple, 30), many(trace, ExpertType::kSimple, 30);
  for (int step = 0; step < 9; ++step) {
    const LogitSample a = few.next(few.baseline(), 11).sample;
    const LogitSample b = many.next(many.baseline(), 30).sample;
    for (int t = 0; t < 11; ++t) EXPECT_EQ(token_of(a, t), token_of(b, t)) << step << ' ' << t;
    const LogitSample& recorded = trace.samples[static_cast<std::size_t>(step % 7)];
    EXPECT_EQ(token_of(a, 7), token_of(recorded, 7)) << "the first places are the recorded batch";
    // Four blocks of seven samples: one apart.
    EXPECT_EQ(token_of(b, 8), token_of(trace.samples[static_cast<std::size_t>((step + 1) % 7)], 0));
  }
}

TEST(TraceDecoder, MoreSequencesThanItWasMadeForAndNoneAreRefused) {
  const RouterLogits trace = random_trace();
  TraceDecoder decoder(trace, ExpertType::kSimple, 20);
  EXPECT_THROW(decoder.next(decoder.baseline(), 21), UsageError);
  EXPECT_THROW(decoder.next(decoder.baseline(), 0), UsageError);
  EXPECT_EQ(most_sequences(trace), 24);
  EXPECT_THROW(TraceDecoder(trace, ExpertType::kSimple, 25), PreconditionError);
}

TEST(TraceDecoder, SamplesOfDifferentSizesAreNoTraceOfABatch) {
  RouterLogits trace = random_trace();
  trace.samples.push_back(random_trace(1, 7).samples.front());
  EXPECT_THROW(TraceDecoder{trace}, PreconditionError);
}

}  // namespace
}  // namespace thermoe
