// SPDX-License-Identifier: Apache-2.0
#include "run/trace_statistics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <random>

namespace thermoe {
namespace {

/// Samples whose tokens prefer the experts that `favourite` says.
template <class Favourite>
RouterLogits made(int samples, int layers, int tokens, int experts, int k, Favourite favourite) {
  RouterLogits trace{.spec = {.experts = experts, .k = k}};
  for (int s = 0; s < samples; ++s) {
    LogitSample& sample = trace.samples.emplace_back(
        LogitSample{.layers = layers, .tokens = tokens, .experts = experts});
    for (int l = 0; l < layers; ++l) {
      for (int t = 0; t < tokens; ++t) {
        for (int e = 0; e < experts; ++e) sample.logits.push_back(favourite(s, l, t, e));
      }
    }
  }
  return trace;
}

RouterLogits random_trace(std::uint64_t seed = 5) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  return made(40, 3, 16, 32, 4, [&](int, int, int, int) { return normal(random); });
}

TEST(TraceStatistics, TokensThatPickAtRandomHaveTheUniformNumberOfDistinctExperts) {
  const TraceStatistics all = trace_statistics(random_trace(), {.batches = {1, 4, 16, 64}});
  ASSERT_EQ(all.active.size(), 4U);
  EXPECT_DOUBLE_EQ(all.active[0].mean, 4.0);
  EXPECT_DOUBLE_EQ(all.active[0].deviation, 0.0);
  for (const ActiveExperts& a : all.active) EXPECT_NEAR(a.mean / a.uniform, 1.0, 0.01) << a.batch;
  EXPECT_NEAR(all.recorded_active, all.active[2].mean, 0.3) << "samples of 16 tokens";
  EXPECT_NEAR(all.active[2].uniform, 32 * (1 - std::pow(28.0 / 32, 16)), 1e-12);
  EXPECT_NEAR(all.load[1].entropy, all.uniform_load.entropy, 0.01);
}

TEST(TraceStatistics, AnExpertThatEveryTokenPicksIsThereOnceAndIsTheBusiest) {
  // Layer 0: all tokens pick experts 0 and 1. Layer 1: token t picks 2t and 2t + 1.
  const RouterLogits trace = made(2, 2, 4, 8, 2, [](int, int l, int t, int e) {
    const int first = l == 0 ? 0 : 2 * t;
    return e == first ? 2.0F : e == first + 1 ? 1.0F : -20.0F;
  });
  const TraceStatistics all = trace_statistics(trace, {.batches = {4}});
  EXPECT_DOUBLE_EQ(all.recorded_active, (2 + 8) / 2.0);
  EXPECT_LT(all.active[0].mean, all.recorded_active) << "the same token of both samples recurs";
  EXPECT_DOUBLE_EQ(all.load[0].most, 4.0);
  EXPECT_DOUBLE_EQ(all.load[0].entropy, std::log(2.0) / std::log(8.0));
  EXPECT_DOUBLE_EQ(all.load[1].most, 1.0);
  EXPECT_DOUBLE_EQ(all.load[1].entropy, 1.0);
  const double best = 1 / (1 + std::exp(-1.0));
  EXPECT_THAT(all.shares, testing::ElementsAre(testing::DoubleNear(best, 1e-6),
                                               testing::DoubleNear(1 - best, 1e-6)));
}

TEST(TraceStatistics, ADrawTakesItsTokensFromDifferentSamples) {
  // Each sample's tokens are alike and unlike every other sample's.
  const RouterLogits trace = made(8, 1, 4, 16, 2, [](int s, int, int, int e) {
    return e / 2 == s ? 5.0F + static_cast<float>(e % 2) : 0.0F;
  });
  const TraceStatistics all = trace_statistics(trace, {.batches = {8, 32}});
  EXPECT_DOUBLE_EQ(all.recorded_active, 2.0);
  EXPECT_DOUBLE_EQ(all.active[0].mean, 16.0) << "eight tokens, eight samples";
  EXPECT_DOUBLE_EQ(all.active[0].deviation, 0.0);
  EXPECT_DOUBLE_EQ(all.active[1].mean, 16.0) << "all that there are";
}

TEST(TraceStatistics, TheSeedMakesTheFiguresAndABatchDoesNotDependOnTheOthers) {
  const RouterLogits trace = random_trace();
  const auto mean = [&](const TraceSampling& sampling) {
    return trace_statistics(trace, sampling).active.back().mean;
  };
  EXPECT_EQ(mean({.batches = {16}}), mean({.batches = {4, 16}}));
  EXPECT_NE(mean({.batches = {16}}), mean({.batches = {16}, .seed = 2}));
}

TEST(TraceStatistics, ARealRoutersTraceHasTheNumbersThatAreKnownOfIt) {
  const std::string folder = fmt::format("{}/../shared/data/traces/", THERMOE_SOURCE_DIR);
  for (const char* bound : {"gpt-oss-20b-b16", "gpt-oss-20b-b16-ceil"}) {
    const std::string file = fmt::format("{}{}.safetensors", folder, bound);
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "there is no ../shared/data/traces";
    const RouterLogits trace = read_router_logits(file);
    const TraceStatistics all = trace_statistics(trace, {.batches = {4, 8, 16, 32, 64}});
    EXPECT_NEAR(all.recorded_active, 23.0, 0.1) << bound;
    // Of all 162,219 recorded tokens; a trace holds 1024 of them.
    const double known[] = {12.0, 17.8, 23.0, 26.8, 29.1};
    for (std::size_t i = 0; i < all.active.size(); ++i) {
      EXPECT_NEAR(all.active[i].mean, known[i], 0.25) << bound << ", " << all.active[i].batch;
    }
    EXPECT_NEAR(all.active[2].uniform, 28.2, 0.05);
    EXPECT_THAT(all.shares, testing::Pointwise(testing::DoubleNear(0.006),
                                               std::vector{0.35, 0.26, 0.21, 0.17}));
  }
}

}  // namespace
}  // namespace thermoe
