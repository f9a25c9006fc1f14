// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/continuous_batch.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

Request request(int in, int out, double at = 0.0) {
  return {.at = Seconds(at), .tokens_in = in, .tokens_out = out};
}

TEST(ContinuousBatch, TakesInAsManyAsItMayInTheOrderOfTheirArrival) {
  ContinuousBatch batch(2, 100);
  ServingTick tick;
  for (const int out : {1, 3, 1}) batch.arrive(request(5, out), tick);
  BatchStep step = batch.begin();
  EXPECT_EQ(step.sequences, 2);
  EXPECT_EQ(step.decoding, 0);
  EXPECT_EQ(step.prompt_tokens, 10);
  EXPECT_EQ(batch.waiting(), 1);
  batch.end(Seconds(1), tick);  // the first one wanted a single token: its place is free
  EXPECT_EQ(tick.finished, 1);
  EXPECT_TRUE(batch.reads_prompts());
  step = batch.begin();
  EXPECT_EQ(step.sequences, 2);
  EXPECT_EQ(step.decoding, 1);
  EXPECT_EQ(step.prompt_tokens, 5);
  batch.end(Seconds(2), tick);
  EXPECT_EQ(batch.running(), 1);
  EXPECT_FALSE(batch.reads_prompts());
  EXPECT_EQ(batch.begin().decoding, 1);
  batch.end(Seconds(3), tick);
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(tick.arrived, 3);
  EXPECT_EQ(tick.finished, 3);
  EXPECT_EQ(tick.tokens, 5.0);
}

TEST(ContinuousBatch, WhoWaitsForAPlaceMakesNoStepAMixedOne) {
  ContinuousBatch batch(1, 100);
  ServingTick tick;
  batch.arrive(request(1, 9), tick);
  batch.begin();
  batch.end(Seconds(1), tick);
  batch.arrive(request(1, 9), tick);
  EXPECT_FALSE(batch.reads_prompts());
  EXPECT_FALSE(batch.begin().mixed());
}

TEST(ContinuousBatch, ReadsALongPromptInChunksWhileOthersDecode) {
  ContinuousBatch batch(4, 10);
  ServingTick tick;
  batch.arrive(request(1, 9), tick);
  batch.begin();
  batch.end(Seconds(1), tick);
  batch.arrive(request(25, 2, 1.0), tick);
  batch.arrive(request(3, 2, 1.0), tick);
  for (const int tokens : {10, 10, 8}) {  // 10, 10, 5 and the other prompt's 3
    const BatchStep step = batch.begin();
    EXPECT_EQ(step.prompt_tokens, tokens);
    EXPECT_EQ(step.decoding, 1);
    EXPECT_EQ(tick.to_first_token.size(), 1u);
    batch.end(batch.running() * Seconds(1.0), tick);
  }
  EXPECT_EQ(tick.to_first_token.size(), 3u);
  EXPECT_EQ(batch.begin().decoding, 3);
}

TEST(ContinuousBatch, CountsTimeFromArrivalToFirstTokenAndFromTokenToToken) {
  ContinuousBatch batch(4, 100);
  ServingTick tick;
  batch.arrive(request(8, 3, 0.5), tick);
  for (const double end : {2.0, 3.0, 5.0}) {
    batch.begin();
    batch.end(Seconds(end), tick);
  }
  ASSERT_EQ(tick.to_first_token.size(), 1u);
  EXPECT_EQ(tick.to_first_token[0], Seconds(1.5));
  ASSERT_EQ(tick.between_tokens.size(), 2u);
  EXPECT_EQ(tick.between_tokens[0].gap, Seconds(1.0));
  EXPECT_EQ(tick.between_tokens[1].gap, Seconds(2.0));
  ASSERT_EQ(tick.requests.size(), 1u);
  EXPECT_EQ(tick.requests[0].to_first_token, Seconds(1.5));
  EXPECT_EQ(tick.requests[0].between_tokens, Seconds(1.5));
  EXPECT_EQ(tick.requests[0].tokens, 3);
}

}  // namespace
}  // namespace thermoe
