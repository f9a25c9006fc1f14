// SPDX-License-Identifier: Apache-2.0
#include "run/run_experiment.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/baseline.h"
#include "control/kernel_aware_ttha.h"
#include "control/reduced_k.h"
#include "control/static_optimal.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "run/check_experiment.h"
#include "synthetic_decoder.h"

namespace thermoe {
namespace {

/// Every strategy that needs no LibTorch: KERNEL_AWARE_TTHA is the dual alone.
std::unique_ptr<Controller> controller_without_adapter(const ControllerConfig& config) {
  switch (config.strategy) {
    case Strategy::kBaseline:
      return std::make_unique<BaselineController>(config);
    case Strategy::kStaticOptimal:
      return std::make_unique<StaticOptimalController>(config);
    case Strategy::kReducedK:
      return std::make_unique<ReducedKController>(config);
    case Strategy::kKernelAwareTtha:
      return std::make_unique<KernelAwareTtha>(config, nullptr);
  }
  return nullptr;
}

class Notes final : public Progress {
 public:
  void update(std::string_view, Seconds, Seconds, std::string_view) override {
    if (++updates == stop_at && stop != nullptr) *stop = true;
  }
  void note(std::string_view line) override { lines.emplace_back(line); }

  std::vector<std::string> lines{};
  int updates = 0;
  int stop_at = -1;
  std::atomic<bool>* stop = nullptr;
};

/// A process whose every strategy needs less than the one before.
struct Memory {
  bool resets = true;
  std::uint64_t held = 0;
  std::uint64_t next = 1000;

  bool reset() {
    if (resets) held = 0;
    return resets;
  }
  std::optional<std::uint64_t> peak() {
    held = std::max(held, next);
    next -= 100;
    return held;
  }
};

class RunExperiment : public testing::Test {
 protected:
  RunExperiment() { std::filesystem::create_directories(folder_); }
  ~RunExperiment() override { std::filesystem::remove_all(folder_); }

  /// A 30 s run of the H100 plant with the tenant of the demo from 10 s to 20 s.
  static Experiment experiment(const std::string& changes = "{}") {
    nlohmann::json json = {{"strategies", {"BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA"}},
                           {"targets", {{"power_w", 350}}},
                           {"control", {{"mode", "dual_only"}}},
                           {"disturbances",
                            {{{"kind", "background"},
                              {"from_s", 10},
                              {"to_s", 20},
                              {"power_w", 60},
                              {"bandwidth_share", 0.15}}}},
                           {"calibration_samples", 32},
                           {"duration_s", 30}};
    json.merge_patch(parse_json(changes, "changes"));
    return experiment_from(json, std::string(THERMOE_SOURCE_DIR) + "/experiments/test.json");
  }

  RunResult run(const Experiment& e) {
    decoder_.streams = e.batch;
    SyntheticDecoder decoder(decoder_);
    return run_experiment(load_inputs(e), folder_,
                          {.decoder = decoder,
                           .make_controller = controller_without_adapter,
                           .reset_peak_memory = [this] { return memory_.reset(); },
                           .peak_memory_bytes = [this] { return memory_.peak(); },
                           .progress = notes_,
                           .stop = stop_});
  }

  static const StrategySummary& named(const RunResult& result, const std::string& name) {
    for (const StrategySummary& s : result.summary.strategies) {
      if (s.name == name) return s;
    }
    throw std::runtime_error("no " + name);
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / ("run_experiment." + std::to_string(::getpid())))
          .string();
  Notes notes_{};
  Memory memory_{};
  SyntheticDecoder::Shape decoder_{};
  std::atomic<bool> stop_{false};
};

TEST_F(RunExperiment, AdaptationHoldsTheCapThatAStaticPlanBreaks) {
  const RunResult result = run(experiment());
  ASSERT_TRUE(result.complete);
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& fixed = named(result, "STATIC_OPTIMAL");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GT(baseline.mean_power.value, 420);
  EXPECT_GT(baseline.targets[0].violation_fraction, 0.95);
  EXPECT_GT(ttha.mean_power.value, 0.95 * 350);
  EXPECT_LT(ttha.mean_power.value, 1.01 * 350);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.03);
  ASSERT_TRUE(ttha.targets[0].settling.has_value());
  EXPECT_LE(ttha.targets[0].settling->value, 4.0);
  EXPECT_GT(fixed.targets[0].violation_fraction, 0.25) << "the tenant is there a third of the time";
  EXPECT_EQ(ttha.fallbacks, 0);
}

TEST_F(RunExperiment, EveryStrategyDecodesTheSameBytesAndIsComparedWithBaseline) {
  const RunResult result = run(experiment(R"({"duration_s": 3, "disturbances": null})"));
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_NEAR(baseline.kl_to_baseline.value_or(1), 0.0, 1e-6);
  EXPECT_DOUBLE_EQ(*baseline.baseline_bits_per_byte, baseline.bits_per_byte);
  EXPECT_NEAR(*ttha.baseline_bits_per_byte, baseline.bits_per_byte, 1e-12);
  EXPECT_GT(ttha.kl_to_baseline.value_or(0), 0.0);
}

TEST_F(RunExperiment, AStrategyAloneIsComparedWithABaselinePassOfItsOwn) {
  const RunResult all = run(experiment(R"({"duration_s": 3, "disturbances": null})"));
  const RunResult alone = run(experiment(
      R"({"duration_s": 3, "disturbances": null, "strategies": ["KERNEL_AWARE_TTHA"]})"));
  ASSERT_EQ(alone.summary.strategies.size(), 1U);
  const StrategySummary& a = named(all, "KERNEL_AWARE_TTHA");
  const StrategySummary& b = named(alone, "KERNEL_AWARE_TTHA");
  EXPECT_DOUBLE_EQ(a.bits_per_byte, b.bits_per_byte);
  EXPECT_DOUBLE_EQ(*a.kl_to_baseline, *b.kl_to_baseline);
  EXPECT_DOUBLE_EQ(a.mean_power.value, b.mean_power.value);
}

TEST_F(RunExperiment, TheFilesHoldEveryTickAndTheSummary) {
  const RunResult result = run(experiment(R"({"duration_s": 2, "disturbances": null})"));
  EXPECT_EQ(read_json_file(folder_ + "/summary.json"), to_json(result.summary));
  std::ifstream in(folder_ + "/metrics.csv");
  const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  EXPECT_EQ(lines, 1 + 3 * 20);
}

TEST_F(RunExperiment, EveryStrategyHasItsOwnPeakOfMemoryOrNone) {
  const Experiment e = experiment(
      R"({"duration_s": 1, "disturbances": null, "strategies": ["BASELINE", "REDUCED_K"]})");
  const RunResult own = run(e);
  EXPECT_EQ(own.summary.strategies[0].peak_memory_bytes, 1000U);
  EXPECT_EQ(own.summary.strategies[1].peak_memory_bytes, 900U) << "not what BASELINE needed";
  memory_ = {.resets = false};
  const RunResult shared = run(e);
  EXPECT_EQ(shared.summary.strategies[1].peak_memory_bytes, std::nullopt)
      << "where the system cannot tell them apart";
}

TEST_F(RunExperiment, ARunThatWouldNotFitInMemoryIsRefusedBeforeItBegins) {
  const auto refused = [](const std::string& changes) -> std::string {
    try {
      check_experiment(load_inputs(experiment(changes)), {});
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused(R"({"duration_s": 20000})"), "");
  EXPECT_THAT(refused(R"({"duration_s": 50000})"),
              testing::HasSubstr("/kl_every: is 1: BASELINE's predictions to compare with would "
                                 "take 8.19 GB of memory, more than 4; raise it to 3 or more"));
  EXPECT_EQ(refused(R"({"duration_s": 50000, "kl_every": 3})"), "");
  EXPECT_EQ(refused(R"({"duration_s": 50000, "kl_every": 0})"), "");
  EXPECT_THAT(refused(R"({"duration_s": 50000, "tick_s": 0.02})"),
              testing::HasSubstr("/duration_s: is 50000: 2.5e+06 ticks of 0.02 s"));
  EXPECT_THAT(refused(R"({"duration_s": 50000, "kl_every": 0, "decode_steps_per_tick": 1000})"),
              testing::HasSubstr("/decode_steps_per_tick: is 1000: 5e+08 decode steps"));
}

TEST_F(RunExperiment, AStoppedRunLeavesItsTicksAndNoSummary) {
  notes_.stop = &stop_;
  notes_.stop_at = 32 + 25;  // the calibration's updates, then 25 ticks
  const RunResult result = run(experiment());
  EXPECT_FALSE(result.complete);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/summary.json"));
  std::ifstream in(folder_ + "/metrics.csv");
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(in), {}, '\n'), 1 + 25);
}

TEST_F(RunExperiment, SensorsFrozenFromTheStartMeanFallbackAndItIsSaid) {
  const RunResult result = run(experiment(R"({"duration_s": 10, "disturbances": [
      {"kind": "sensor_freeze", "from_s": 0, "to_s": 10}],
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GE(ttha.fallbacks, 1);
  EXPECT_GT(ttha.fallback_share, 0.5);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("fell back to BASELINE")));
  EXPECT_THAT(notes(result.summary),
              testing::Contains(testing::HasSubstr("fell back to BASELINE")));
}

TEST_F(RunExperiment, SensorsThatDropOutOrTurnNanAreSurvivedAndControlReturns) {
  const RunResult result = run(experiment(R"({"duration_s": 30, "disturbances": [
      {"kind": "sensor_dropout", "from_s": 5, "to_s": 9},
      {"kind": "sensor_nan", "from_s": 15, "to_s": 19}],
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GE(ttha.fallbacks, 2);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("in control again")));
  EXPECT_NEAR(ttha.targets[0].steady, 350, 0.03 * 350) << "held again at the end";
}

TEST_F(RunExperiment, ACapOutOfReachIsSaidWithTheBestHeld) {
  const RunResult result =
      run(experiment(R"({"duration_s": 10, "disturbances": null, "targets": {"power_w": 140},
                         "control": {"max_quality_loss": 100},
                         "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  ASSERT_TRUE(ttha.targets[0].best_held.has_value());
  EXPECT_GT(*ttha.targets[0].best_held, 140);
  EXPECT_LT(*ttha.targets[0].best_held, 350);
  EXPECT_THAT(notes(result.summary), testing::Contains(testing::HasSubstr("cannot be reached")));
}

TEST_F(RunExperiment, AnyShapeThatTheCostModelsHoldIsChargedWithItsLayers) {
  // A model of half the experts and picks, whose layers cost what the file says of that shape.
  const auto with_shape = [&](const std::string& name) {
    nlohmann::json costs =
        read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/" + name + ".json");
    nlohmann::json& entry = costs["entries"][0];
    entry["shape"] = {64, 4, 1024, 512};
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& row : entry["rows"]) {
      if (row["active_experts"] <= 64) rows.push_back(row);
    }
    entry["rows"] = rows;
    const std::string path = folder_ + "/" + name + ".json";
    std::ofstream(path) << costs;
    return path;
  };
  const std::string changes = fmt::format(
      R"({{"duration_s": 2, "disturbances": null, "strategies": ["BASELINE"], "cost_model": "{}",
           "plant": {{"cost_model": "{}"}},
           "costed_as": {{"name": "Small-MoE", "layers": 24, "shape": [64, 4, 1024, 512]}}}})",
      with_shape("kernel_cost_model"), with_shape("plant_cost_model"));
  decoder_ = {.experts = 64, .k = 4};
  const Experiment e = experiment(changes);
  check_experiment(load_inputs(e), {.experts = 64, .top_k = 4});
  const RunResult result = run(e);
  EXPECT_EQ(result.summary.costs,
            "decisions: shipped model; costs: Small-MoE shape (24 layers, 64 experts of 1024 x "
            "512, top-4), simulated; expert MLPs only");
  const RunResult twice =
      run(experiment(changes.substr(0, changes.size() - 2) + R"(, "layers": 48}})"));
  EXPECT_NEAR(named(twice, "BASELINE").p50_step / named(result, "BASELINE").p50_step, 2.0, 0.01);
  decoder_ = {};
  try {
    check_experiment(
        load_inputs(
            experiment(R"({"costed_as": {"name": "x", "layers": 4, "shape": [128, 8, 99, 99]}})")),
        {});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("moe_experts [128, 8, 99, 99]"));
    EXPECT_THAT(error.what(), testing::HasSubstr("moe_experts [128, 8, 2048, 768] bf16"));
  }
}

TEST_F(RunExperiment, TheSensorsNoiseHasTheExperimentsSeed) {
  EXPECT_EQ(load_inputs(experiment(R"({"seed": 42})")).gpu.seed, 42U);
}

TEST_F(RunExperiment, AModelOfOtherNumbersThanTheChargedShapeIsRefused) {
  const Experiment e = experiment();
  try {
    check_experiment(load_inputs(e), {.experts = 64});
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_EQ(error.key(), "/costed_as");
    EXPECT_THAT(error.what(), testing::HasSubstr("64"));
  }
}

TEST_F(RunExperiment, AFullDiskStopsTheRunAndNamesTheFile) {
  std::filesystem::create_symlink("/dev/full", folder_ + "/expert_usage.csv");
  try {
    run(experiment());
    FAIL();
  } catch (const WriteError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("expert_usage.csv: cannot be written"));
  }
}

}  // namespace
}  // namespace thermoe
