// SPDX-License-Identifier: Apache-2.0
// topk_route as an engine with captured graphs calls it: filled slots, and sampled logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "core/errors.h"
#include "engine_call.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class TopkRouteEngineTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRouteEngine, TopkRouteEngineTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

/// The same call with every output there is.
EngineResult with_every_output(const KernelBackend& backend, const EngineCall& call) {
  RouteProblem problem = call.problem;
  problem.fill_slots = true;
  RouteResult all = route(backend, problem);
  return {std::move(all.expert),
          std::move(all.weight),
          std::move(all.counts),
          {},
          call.masked ? std::move(all.masked_logits) : std::vector<float>{}};
}

TEST_P(TopkRouteEngineTest, PicksAndCountsAreThoseOfACallWithEveryOutput) {
  std::mt19937 random(31);
  int padded = 0;
  for (int i = 0; i < 600; ++i) {
    EngineCall call = with_own_logits(random_problem(random));
    call.masked = i % 2 == 1;
    const EngineResult result = run(GetParam(), call);
    ASSERT_EQ(result, with_every_output(GetParam(), call)) << "problem " << i;
    padded += call.problem.valid() < call.problem.tokens;
    for (const std::int32_t id : result.expert) ASSERT_GE(id, 0);
  }
  EXPECT_GT(padded, 50);
}

TEST_P(TopkRouteEngineTest, BatchesOfEverySizeFillRowsWithoutPicksByAnExpertThatRuns) {
  std::mt19937 random(32);
  for (const int tokens : {1, 16, 17, 33, 64, 65, 130, 1000}) {
    for (const int experts : {40, 128, 256, 300}) {
      for (int turn = 0; turn < 8; ++turn) {
        RouteProblem problem{.tokens = tokens, .experts = experts, .k = 4};
        if (turn & 4) problem.type = FloatType::kBf16;
        fill_logits(problem, random, false);
        // Experts from 5 on only, and one row of nothing but NaN.
        for (int n = 0; n < tokens * experts; ++n) {
          if (n % experts < 5 || n / experts == tokens / 2) problem.logits[n] = kNan;
        }
        if (turn & 1) problem.step.valid_tokens = tokens - tokens / 3;
        if (turn & 2) problem.price.assign(experts, 0.2F);
        const EngineCall call = with_own_logits(problem);
        const EngineResult result = run(GetParam(), call);
        SCOPED_TRACE(testing::Message() << tokens << " x " << experts << ", turn " << turn);
        ASSERT_EQ(result, with_every_output(GetParam(), call));
        const auto lowest = std::ranges::find_if(result.counts, [](int c) { return c > 0; });
        const auto id = lowest == result.counts.end() ? 0 : lowest - result.counts.begin();
        ASSERT_EQ(result.expert[static_cast<std::size_t>(tokens / 2) * 4], id);
        if (call.problem.valid() < tokens) {
          ASSERT_EQ(result.expert.back(), id);
        }
      }
    }
  }
}

TEST_P(TopkRouteEngineTest, TheSlotThatTheWordNamesHoldsTheLogitsBitForBit) {
  std::mt19937 random(33);
  for (const int tokens : {0, 1, 16, 17, 64, 65, 200}) {
    for (const FloatType type : {FloatType::kF32, FloatType::kBf16, FloatType::kF16}) {
      for (const std::int32_t slot : {-1, 0, 1, 2}) {
        RouteProblem problem{.tokens = tokens, .experts = pick(random, 1, 140), .type = type};
        if (pick(random, 0, 1)) problem.price.assign(problem.experts, 0.1F);
        if (pick(random, 0, 1)) problem.step.valid_tokens = pick(random, 0, tokens);
        if (pick(random, 0, 1)) problem.step.phase = StepState::kPrefill;
        EngineCall call = with_random_bits(problem, random);
        const EngineResult unsampled = run(GetParam(), call);
        call.rows = pick(random, 0, tokens + 3);
        call.gap = pick(random, 0, 1) * 3 * problem.experts;
        call.slot = slot;
        const EngineResult result = run(GetParam(), call);
        SCOPED_TRACE(testing::Message()
                     << tokens << " tokens, " << problem.experts << " experts, slot " << slot
                     << ", " << call.rows << " rows, " << problem.valid() << " valid");
        ASSERT_EQ(result.sample, expected_sample(call));
        ASSERT_EQ(result.expert, unsampled.expert);
        ASSERT_EQ(result.counts, unsampled.counts);
      }
    }
  }
}

TEST_P(TopkRouteEngineTest, RefusesASampleThatCannotBeWritten) {
  const std::vector<float> logits(2 * 8, 0.0F);
  std::vector<std::int32_t> expert(4);
  std::vector<float> weight(4);
  std::vector<std::int32_t> counts(16);
  std::vector<float> sample(4 * 8);
  const std::int32_t slot = 0;
  std::vector<std::byte> workspace(1 << 16);
  const RouterSpec router{.experts = 8, .k = 2};
  const TopkRouteArgs good{
      .logits = logits.data(),
      .tokens = 2,
      .router = {router, nullptr},
      .expert = expert.data(),
      .weight = weight.data(),
      .slots = 2,
      .counts = counts.data(),
      .sample = {.logits = sample.data(), .distance = 16, .rows = 2, .slot = &slot},
      .workspace = workspace.data(),
      .workspace_size = workspace.size()};
  const auto refusal = [&](auto&& spoil) -> std::string {
    TopkRouteArgs bad = good;
    spoil(bad);
    try {
      GetParam().topk_route(bad);
    } catch (const PreconditionError& error) {
      return error.what();
    }
    return "nothing was refused";
  };
  using ::testing::HasSubstr;
  EXPECT_EQ(refusal([](auto&) {}), "nothing was refused");
  EXPECT_THAT(refusal([](auto& a) { a.sample.slot = nullptr; }), HasSubstr("sample.slot is null"));
  EXPECT_THAT(refusal([](auto& a) { a.tokens = 1, a.batches = 2; }),
              HasSubstr("a sample is of one batch, not of 2"));
  EXPECT_THAT(refusal([](auto& a) { a.sample.rows = -1; }), HasSubstr("sample.rows=-1"));
  EXPECT_THAT(refusal([](auto& a) { a.sample.distance = 15; }),
              HasSubstr("sample.distance=15 is less than a slot's rows=2 x experts=8"));
}

}  // namespace
}  // namespace thermoe
