// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/load_proxy.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "machine/gpu/route_check.h"
#include "random_step.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr StepShape kSteps{.layers = 3, .tokens = 16, .experts = 32};

LoadProxyOptions small_load(const BankPrecisions& precisions = {}) {
  return {.shape = {.name = "small", .experts = 32, .d_model = 256, .d_ff = 128, .layers = 6},
          .precisions = precisions,
          .tokens = kSteps.tokens,
          .model_layers = kSteps.layers,
          .router = {.experts = 32, .k = 4}};
}

/// Stages steps under a plan that changes each time, and compares all that the load picks.
void expect_routed_as_on_the_cpu(const LoadProxyOptions& options, int steps) {
  LoadProxy load(options);
  const StepShape shape{
      .layers = options.model_layers, .tokens = options.tokens, .experts = options.shape.experts};
  std::mt19937 random(21);
  for (int i = 0; i < steps; ++i) {
    const StagedStep step =
        random_step(shape, options.router, static_cast<std::uint64_t>(i) + 1, random);
    load.stage(step);
    EXPECT_GT(load.run(), Seconds(0.0));
    ASSERT_NO_THROW(EXPECT_EQ(check_routing(step, options.router, load.picks()), 0U))
        << "step " << i;
  }
}

TEST(LoadProxy, RoutesStepsAsTheCpuDoesWhilePlansChange) {
  expect_routed_as_on_the_cpu(small_load(), 200);
}

TEST(LoadProxy, SoItDoesForRoutersWithScoresAndBiasesOfTheirOwn) {
  std::mt19937 random(22);
  std::normal_distribution<float> normal;
  LoadProxyOptions options = small_load();
  for (const ScoreFunction score : {ScoreFunction::kSigmoid, ScoreFunction::kSqrtSoftplus}) {
    options.router.score = score;
    options.router.selection_bias.resize(std::size_t{3} * 32);
    for (float& beta : options.router.selection_bias) beta = 0.1F * normal(random);
    expect_routed_as_on_the_cpu(options, 50);
  }
}

TEST(LoadProxy, SoItDoesWithInt4AndMixedExperts) {
  expect_routed_as_on_the_cpu(small_load({.bf16 = false, .int4 = true}), 50);
  expect_routed_as_on_the_cpu(small_load({.bf16 = true, .int4 = true}), 50);
}

TEST(LoadProxy, SoItDoesWhereLayersShareWeightsOrAreTheModelsOwn) {
  LoadProxyOptions options = small_load();
  options.distinct = 2;
  expect_routed_as_on_the_cpu(options, 20);
  options.shape.layers = 3;
  expect_routed_as_on_the_cpu(options, 20);
  options.shape.layers = 7;  // 3, 2 and 2 of them
  expect_routed_as_on_the_cpu(options, 20);
}

TEST(LoadProxy, SoItDoesInTheShapeOfARealModel) {
  LoadProxyOptions options = small_load();
  options.shape = {
      .name = "Qwen3-30B-A3B", .experts = 128, .d_model = 2048, .d_ff = 768, .layers = 48};
  options.router = {.experts = 128, .k = 8};
  if (describe_device().free_memory < options.weight_bytes() + (std::size_t{1} << 30)) {
    GTEST_SKIP() << options.description() << ": that much is not free";
  }
  expect_routed_as_on_the_cpu(options, 30);
}

TEST(LoadProxy, RepeatsTheStepThatWasStagedLast) {
  LoadProxy load(small_load());
  std::mt19937 random(23);
  const RouterSpec router = small_load().router;
  for (std::uint64_t version = 1; version < 6; ++version) {
    load.stage(random_step(kSteps, router, 100, random));  // never run
    const StagedStep step = random_step(kSteps, router, version, random);
    load.stage(step);
    for (int i = 0; i < 3; ++i) {
      load.run();
      EXPECT_EQ(load.picks().plan_version, version);
      EXPECT_NO_THROW(check_routing(step, router, load.picks()));
    }
  }
}

TEST(LoadProxy, WantsAStagedStepOfItsOwnShape) {
  LoadProxy load(small_load());
  EXPECT_THROW(load.run(), PreconditionError);
  std::mt19937 random(24);
  const RouterSpec router = small_load().router;
  EXPECT_THROW(
      load.stage(random_step({.layers = 2, .tokens = 16, .experts = 32}, router, 1, random)),
      PreconditionError);
  EXPECT_THROW(
      load.stage(random_step({.layers = 3, .tokens = 15, .experts = 32}, router, 1, random)),
      PreconditionError);
  StagedStep step = random_step(kSteps, router, 1, random);
  step.plan.set_fractional_k(5.5);
  EXPECT_THAT([&] { load.stage(step); },
              ThrowsMessage<PreconditionError>(HasSubstr("k=6: more than 5 slots")));
}

TEST(LoadProxy, SaysHowMuchDeviceMemoryItHolds) {
  const std::size_t before = describe_device().free_memory;
  LoadProxyOptions options = small_load();
  options.shape.d_model = 2048;
  options.shape.d_ff = 768;
  const LoadProxy load(options);
  EXPECT_GE(before - describe_device().free_memory, options.weight_bytes());
  EXPECT_GT(load.device_bytes(), options.weight_bytes());
  EXPECT_LT(load.device_bytes(), options.weight_bytes() + (std::size_t{16} << 20));
}

TEST(LoadProxy, OfAShapeThatDoesNotFitIsRefusedWithBytesAndRemedies) {
  LoadProxyOptions options = small_load();
  options.shape.layers = 100'000;
  options.shape.d_model = 4096;
  options.shape.d_ff = 4096;
  EXPECT_THAT(
      [&] { LoadProxy{options}; },
      ThrowsMessage<UsageError>(AllOf(HasSubstr("bytes of device memory are needed"),
                                      HasSubstr("distinct layers fit"), HasSubstr("another GPU"))));
}

}  // namespace
}  // namespace thermoe
