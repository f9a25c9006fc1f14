// SPDX-License-Identifier: Apache-2.0
#include "engine/step_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <numeric>
#include <thread>

namespace thermoe {
namespace {

constexpr int kLayers = 2, kExperts = 4;
using Counts = std::vector<std::int32_t>;

EngineStep step_of(const Counts& counts, int tokens = 3) {
  return {.version = 8,
          .time = Seconds(0.01),
          .period = Seconds(0.02),
          .tokens = tokens,
          .rows = 4,
          .counts = counts};
}

std::vector<LoggedLoads> drained(StepLog& log, StepTotals* totals = nullptr) {
  std::vector<LoggedLoads> loads;
  const StepTotals sums = log.drain(loads);
  if (totals != nullptr) *totals = sums;
  return loads;
}

TEST(StepLog, GivesStepsInTheirOrderWithTheirLoadsAndSums) {
  StepLog log(kLayers, kExperts, 8);
  const Counts first{3, 0, 0, 0, 1, 1, 1, 0}, second{1, 1, 1, 0, 0, 0, 0, 3};
  log.add(step_of(first));
  log.add(step_of(second));
  StepTotals totals;
  const auto loads = drained(log, &totals);
  ASSERT_EQ(loads.size(), 2U);
  EXPECT_EQ(loads[0].stats.counts, first);
  EXPECT_EQ(loads[1].stats.counts, second);
  EXPECT_EQ(loads[1].version, 8U);
  EXPECT_EQ(totals.steps, 2U);
  EXPECT_EQ(totals.tokens, 6U);
  EXPECT_EQ(totals.rows, 8U);
  EXPECT_DOUBLE_EQ(totals.period.value, 0.04);
  EXPECT_TRUE(drained(log).empty());
}

TEST(StepLog, AStepWhoseTimeIsNotKnownDoesNotShortenTheMean) {
  StepLog log(kLayers, kExperts, 8);
  const Counts counts(kLayers * kExperts, 1);
  EngineStep first = step_of(counts);
  first.time = first.period = Seconds(0);
  log.add(first);
  log.add(step_of(counts));
  StepTotals totals;
  drained(log, &totals);
  EXPECT_EQ(totals.decoded, 2U);
  EXPECT_EQ(totals.timed, 1U);
  EXPECT_EQ(totals.periods, 1U);
  EXPECT_DOUBLE_EQ(totals.time.value, 0.01);
}

TEST(StepLog, MixedStepsCountAsStepsAndNothingElse) {
  StepLog log(kLayers, kExperts, 8);
  const Counts counts(kLayers * kExperts, 1);
  EngineStep mixed = step_of(counts);
  mixed.mixed = true;
  const std::vector<float> logits(kLayers * 3 * kExperts);
  mixed.logits = StepLogits{.data = logits.data(), .rows = 3};
  log.add(mixed);
  EXPECT_FALSE(log.take_sample());
  StepTotals totals;
  EXPECT_TRUE(drained(log, &totals).empty());
  EXPECT_EQ(totals.steps, 1U);
  EXPECT_EQ(totals.mixed, 1U);
  EXPECT_EQ(totals.decoded, 0U);
}

TEST(StepLog, WhereNobodyReadsNoTokenIsLostOnlyLoads) {
  StepLog log(kLayers, kExperts, 8);
  const Counts counts(kLayers * kExperts, 1);
  for (int i = 0; i < 100; ++i) log.add(step_of(counts));
  StepTotals totals;
  const std::size_t before = drained(log, &totals).size();
  EXPECT_LT(before, 100U);
  log.add(step_of(counts));
  StepTotals rest;
  EXPECT_EQ(drained(log, &rest).size(), 1U);
  totals.add(rest);
  EXPECT_EQ(totals.steps, 101U);
  EXPECT_EQ(totals.tokens, 303U);
  EXPECT_EQ(totals.skipped, 100 - before);
}

TEST(StepLog, KeepsOneSampleUntilItIsTakenAndDropsThePadding) {
  StepLog log(kLayers, kExperts, 8);
  const Counts counts(kLayers * kExperts, 1);
  std::vector<float> logits(kLayers * 4 * kExperts);  // 4 rows, 3 of them tokens
  std::iota(logits.begin(), logits.end(), 0.0F);
  EngineStep step = step_of(counts);
  step.logits = StepLogits{.data = logits.data(), .rows = 4};
  EXPECT_TRUE(log.wants_sample());
  log.add(step);
  EXPECT_FALSE(log.wants_sample());
  logits.assign(logits.size(), -1.0F);
  log.add(step);  // passed over
  const auto sample = log.take_sample();
  ASSERT_TRUE(sample);
  EXPECT_EQ(sample->sample.tokens, 3);
  EXPECT_EQ(sample->sample.logits.size(), static_cast<std::size_t>(kLayers * 3 * kExperts));
  EXPECT_EQ(sample->sample.layer(0)[11], 11.0F);
  EXPECT_EQ(sample->sample.layer(1)[0], 16.0F) << "after the padding row of layer 0";
  EXPECT_EQ(sample->ran.stats.counts, counts);
  EXPECT_TRUE(log.wants_sample());
  EXPECT_FALSE(log.take_sample());
}

TEST(StepLog, WidensHalfFloats) {
  StepLog log(1, 4, 1);
  const Counts counts{1, 0, 0, 0};
  const std::vector<std::uint16_t> f16{0x3c00, 0xc000, 0x0001, 0xfc00};
  EngineStep step{.tokens = 1, .rows = 1, .counts = counts};
  step.logits = StepLogits{.data = f16.data(), .type = LogitType::kF16, .rows = 1};
  log.add(step);
  EXPECT_THAT(log.take_sample()->sample.logits,
              testing::ElementsAre(1.0F, -2.0F, 0x1p-24F, -std::numeric_limits<float>::infinity()));
  const std::vector<std::uint16_t> bf16{0x3f80, 0xc000, 0x7f80, 0x0000};
  step.logits = StepLogits{.data = bf16.data(), .type = LogitType::kBf16, .rows = 1};
  log.add(step);
  EXPECT_THAT(log.take_sample()->sample.logits,
              testing::ElementsAre(1.0F, -2.0F, std::numeric_limits<float>::infinity(), 0.0F));
}

TEST(StepLog, ABatchBeyondTheLimitIsCountedAndNotSampled) {
  StepLog log(kLayers, kExperts, 2);
  const Counts counts(kLayers * kExperts, 1);
  const std::vector<float> logits(kLayers * 3 * kExperts);
  EngineStep step = step_of(counts);
  step.logits = StepLogits{.data = logits.data(), .rows = 3};
  log.add(step);
  EXPECT_FALSE(log.take_sample());
  EXPECT_EQ(drained(log).size(), 1U);
}

TEST(StepLog, ReaderAndWriterAtOnceLoseNoTokenAndTearNoLoads) {
  StepLog log(kLayers, kExperts, 8);
  constexpr int kSteps = 20000;
  std::atomic<bool> done{false};
  std::jthread writer([&] {
    std::vector<float> logits(kLayers * 3 * kExperts);
    for (int i = 1; i <= kSteps; ++i) {
      const Counts counts(kLayers * kExperts, i);
      EngineStep step = step_of(counts);
      logits.assign(logits.size(), static_cast<float>(i));
      step.logits = StepLogits{.data = logits.data(), .rows = 3};
      log.add(step);
    }
    done = true;
  });
  StepTotals totals;
  bool whole = true;
  const auto take = [&] {
    std::vector<LoggedLoads> loads;
    totals.add(log.drain(loads));
    for (const auto& step : loads) {
      for (const auto n : step.stats.counts) whole = whole && n == step.stats.counts.front();
    }
    if (const auto sample = log.take_sample()) {
      const auto expected = static_cast<float>(sample->ran.stats.counts.front());
      for (const float x : sample->sample.logits) whole = whole && x == expected;
    }
  };
  while (!done) take();
  writer.join();
  take();
  log.add(step_of(Counts(kLayers * kExperts, 1)));  // brings what waited for a slot
  take();
  EXPECT_TRUE(whole);
  EXPECT_EQ(totals.steps, static_cast<std::uint64_t>(kSteps) + 1);
  EXPECT_EQ(totals.tokens, 3U * (static_cast<std::uint64_t>(kSteps) + 1));
}

}  // namespace
}  // namespace thermoe
