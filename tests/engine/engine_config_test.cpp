// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"
#include "toy_model.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::toy_config;

std::string refusal(const std::string& changes) {
  try {
    read_engine_config(toy_config(changes));
  } catch (const UsageError& e) {
    return e.what();
  }
  return "not refused";
}

TEST(EngineConfig, SaysWhatItReadAndWhatItWasNotTold) {
  const EngineConfig config = read_engine_config(toy_config(R"({
    "model": {"score_function": "sigmoid", "groups": 8, "groups_kept": 4, "routed_scale": 2.5},
    "applies": "mask", "targets": {"time_between_tokens_ms": 25},
    "engine": {"batch_limit": 32, "graph_sizes": [1, 2, 4, 8, 16, 32]},
    "control": {"max_quality_loss": 0.2, "step_period_s": null}})"));
  EXPECT_EQ(config.control.layers, testing::kToyLayers);
  EXPECT_EQ(config.control.router.score, ScoreFunction::kSigmoid);
  EXPECT_EQ(config.control.router.groups_kept, 4);
  EXPECT_EQ(config.control.targets.power, Watts(280));
  EXPECT_DOUBLE_EQ(config.control.targets.between_tokens->value, 0.025);
  EXPECT_EQ(config.control.strategy, Strategy::kKernelAwareTtha);
  EXPECT_EQ(config.control.mode, TthaMode::kDualOnly) << "the adapter needs LibTorch";
  EXPECT_EQ(config.control.guard.max_quality_loss, 0.2);
  EXPECT_TRUE(config.by_mask);
  EXPECT_FALSE(config.own_thread);
  EXPECT_EQ(config.control.engine.value().rows(5), 8);
  EXPECT_EQ(config.telemetry.kind, TelemetryKind::kSimulated);
}

TEST(EngineConfig, TheShippedExampleIsOne) {
  const EngineConfig config =
      read_engine_config(std::string(THERMOE_SOURCE_DIR) + "/examples/engine.json");
  EXPECT_EQ(config.telemetry.kind, TelemetryKind::kNvml);
  EXPECT_TRUE(config.own_thread);
}

TEST(EngineConfig, AWrongKeyIsNamedWithTheNearestKnown) {
  EXPECT_THAT(refusal(R"({"targets": {"power": 300}})"),
              AllOf(HasSubstr("configuration: /targets/power:"), HasSubstr("power_w")));
  EXPECT_THAT(refusal(R"({"stratgy": "BASELINE"})"),
              AllOf(HasSubstr("/stratgy"), HasSubstr("strategy")));
  EXPECT_THAT(refusal(R"({"telemetry": {"gpu": "0"}})"), HasSubstr("/telemetry/gpu"))
      << "of nvml, not of a simulated one";
}

TEST(EngineConfig, AModelWithoutExpertsHasNothingToRoute) {
  EXPECT_THAT(
      refusal(R"({"model": {"experts": 0}})"),
      AllOf(HasSubstr("/model/experts"), HasSubstr("without experts has nothing to route")));
  EXPECT_THAT(refusal(R"({"model": {"layers": 0}})"), HasSubstr("/model/layers"));
}

TEST(EngineConfig, ARouterThatNobodySupportsIsNamed) {
  EXPECT_THAT(refusal(R"({"model": {"score_function": "hash"}})"),
              AllOf(HasSubstr("/model/score_function"), HasSubstr("hash"), HasSubstr("sigmoid")));
  EXPECT_THAT(refusal(R"({"model": {"groups": 7, "groups_kept": 2}})"), HasSubstr("/model/groups"));
  EXPECT_THAT(refusal(R"({"model": {"k": 129}})"), HasSubstr("/model/k"));
  EXPECT_THAT(refusal(R"({"model": {"selection_bias": [[1, 2]]}})"),
              HasSubstr("4 lists of 128 numbers"));
}

TEST(EngineConfig, WhatOnlyTogetherMakesNoSenseIsRefused) {
  EXPECT_THAT(refusal(R"({"applies": "mask", "strategy": "REDUCED_K"})"),
              AllOf(HasSubstr("/strategy"), HasSubstr("cannot be applied by a mask")));
  EXPECT_THAT(refusal(R"({"telemetry": {"source": "nvml", "plant": null, "cost_model": null}})"),
              AllOf(HasSubstr("/control/thread"), HasSubstr("real time")));
  EXPECT_THAT(refusal(R"({"engine": {"graph_sizes": [4, 2]}})"), HasSubstr("ascending"));
  EXPECT_THAT(refusal(R"({"engine": {"batch_limit": 8}})"), HasSubstr("/control/step_period_s"));
  EXPECT_THAT(refusal(R"({"objective": "throughput"})"),
              AllOf(HasSubstr("/objective"), HasSubstr("engine.batch_limit")));
}

TEST(EngineConfig, AFileThatIsNotThereIsNamedWithTheKeyThatNamesIt) {
  EXPECT_THAT(refusal(R"({"cost_model": "nowhere.json"})"),
              AllOf(HasSubstr("/cost_model"), HasSubstr("\"nowhere.json\" is not there")));
  EXPECT_THROW(read_engine_config("nowhere/engine.json"), FormatError);
  EXPECT_THROW(read_engine_config("  "), UsageError);
}

TEST(EngineConfig, PathsInAFileAreRelativeToItsFolder) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("engine_config." + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json",
                             folder / "costs.json");
  const auto file = (folder / "engine.json").string();
  std::ofstream(file) << toy_config(R"({"cost_model": "costs.json"})");
  EXPECT_EQ(read_engine_config(file).cost_model, (folder / "costs.json").string());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace thermoe
