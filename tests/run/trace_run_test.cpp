// SPDX-License-Identifier: Apache-2.0
// The experiment loop on recorded routers.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "core/errors.h"
#include "experiment_fixture.h"
#include "moe/safetensors.h"
#include "report/summary_table.h"
#include "run/run_folder.h"
#include "run/trace_decoder.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kRoot = THERMOE_SOURCE_DIR;
constexpr const char* kSynthetic = "data/traces/synthetic-e128-k8-b16.safetensors";

class TraceRun : public RunExperiment {
 protected:
  static Experiment traced(const std::string& changes = "{}",
                           const std::string& file = kSynthetic) {
    nlohmann::json json = {{"decoder", "trace"},
                           {"trace", {{"file", file}}},
                           {"disturbances", nullptr},
                           {"calibration_samples", 16},
                           {"duration_s", 6}};
    json.merge_patch(parse_json(changes, "changes"));
    return experiment(json.dump());
  }

  RunResult run_trace(const Experiment& e) {
    const ExperimentInputs inputs = load_inputs(e);
    check_experiment(inputs);
    TraceDecoder decoder(*inputs.trace);
    write_config(folder_, inputs);
    return run_on(inputs, decoder, decoder);
  }

  /// Trace with `tokens[i]` tokens in sample i.
  std::string written(const std::vector<int>& tokens, int experts = 128) const {
    std::vector<float> values;
    for (const int n : tokens) {
      for (int i = 0; i < 16 * experts; ++i) {
        // Rows beyond n are constant: padding, which the reader takes out.
        values.push_back(i / experts < n ? static_cast<float>((i * 37) % 101 - 50) : 0.0F);
      }
    }
    const TensorView tensor{.name = "router_logits",
                            .dtype = "F32",
                            .shape = {static_cast<std::int64_t>(tokens.size()), 1, 16, experts},
                            .data = std::as_bytes(std::span(values))};
    const std::string path = folder_ + "/trace.safetensors";
    write_safetensors(path, {&tensor, 1}, {{"k", "8"}, {"score_function", "softmax"}});
    return path;
  }

  template <class Work>
  static std::string refusal(const Work& work) {
    try {
      work();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(TraceRun, TheControllerHoldsACapOnARecordedRouter) {
  const RunResult result = run_trace(traced(R"({"targets": {"power_w": 300}, "duration_s": 20})"));
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_NEAR(baseline.mean_active_experts, 48.8, 0.5);
  EXPECT_GT(baseline.mean_power.value, 330);
  EXPECT_NEAR(ttha.mean_power.value, 300, 0.03 * 300);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.05);
  EXPECT_LT(ttha.mean_active_experts, 45);
  EXPECT_EQ(ttha.fallbacks, 0);
}

TEST_F(TraceRun, NatsAndKeptMassTakeThePlaceOfBits) {
  const RunResult result = run_trace(traced());
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_DOUBLE_EQ(baseline.kept_mass.value(), 1.0);
  EXPECT_DOUBLE_EQ(baseline.quality_loss.value(), 0.0);
  for (const StrategySummary* s : {&baseline, &ttha}) {
    EXPECT_FALSE(s->bits_per_byte || s->baseline_bits_per_byte || s->loss_percent());
    EXPECT_FALSE(s->kl_to_baseline || s->top1_agreement || s->loss_interval);
  }
  const nlohmann::json written = read_json_file(folder_ + "/summary.json")["strategies"][2];
  EXPECT_TRUE(written["bits_per_byte"].is_null());
  EXPECT_EQ(written["kept_mass"], ttha.kept_mass.value());
  EXPECT_EQ(written["quality_loss_nats"], ttha.quality_loss.value());
  CsvReader csv(folder_ + "/metrics.csv");
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.cell(csv.need("bits_per_byte")), "");
  EXPECT_EQ(csv.cell(csv.need("kl_to_baseline_nats")), "");
  EXPECT_EQ(csv.cell(csv.need("quality_loss_nats")), "0");
  EXPECT_THAT(column("KERNEL_AWARE_TTHA", Metric::kQualityLoss), testing::SizeIs(60));
}

TEST_F(TraceRun, WhereNoRequestsArriveTheirColumnsAreEmpty) {
  run_trace(traced(R"({"strategies": ["KERNEL_AWARE_TTHA"], "duration_s": 1})"));
  int of_serving = 0;
  for (CsvReader csv(folder_ + "/metrics.csv"); csv.next();) {
    for (std::size_t m = 0; m < kMetrics; ++m) {
      const auto metric = static_cast<Metric>(m);
      if (!is_of_serving(metric)) continue;
      EXPECT_EQ(csv.cell(csv.need(column_name(metric))), "") << column_name(metric);
      ++of_serving;
    }
  }
  EXPECT_GE(of_serving, 100) << "ten ticks of them";
}

TEST_F(TraceRun, SaysWhatDecidedAndWhatItWasCalibratedOn) {
  const RunResult result = run_trace(traced(R"({"strategies": ["BASELINE"], "duration_s": 1})"));
  const std::string words =
      "recorded router data/traces/synthetic-e128-k8-b16.safetensors (60 "
      "samples of 4 layers, 16 tokens, 128 experts, top-8, softmax; in order "
      "and repeated, calibrated on the first 16)";
  EXPECT_THAT(result.summary.costs, HasSubstr(words));
  EXPECT_THAT(read_json_file(folder_ + "/config.json")["decisions"].get<std::string>(),
              AllOf(HasSubstr(words), HasSubstr("1 recorded step(s) of 16 tokens a tick")));
  const RunResult all = run_trace(
      traced(R"({"strategies": ["BASELINE"], "duration_s": 1, "calibration_samples": 1000})"));
  EXPECT_THAT(all.summary.costs, HasSubstr("calibrated on the first 60)"));
}

TEST_F(TraceRun, AStrategyAloneNeedsNoBaselinePass) {
  const RunResult both = run_trace(traced(R"({"duration_s": 3})"));
  const RunResult alone =
      run_trace(traced(R"({"duration_s": 3, "strategies": ["KERNEL_AWARE_TTHA"]})"));
  EXPECT_EQ(named(alone, "KERNEL_AWARE_TTHA").quality_loss,
            named(both, "KERNEL_AWARE_TTHA").quality_loss)
      << "the same samples, from the first";
}

TEST_F(TraceRun, TheBatchIsThatOfTheSamples) {
  EXPECT_EQ(load_inputs(traced()).experiment.batch, 16);
  EXPECT_EQ(load_inputs(traced(R"({"batch": 16})")).experiment.batch, 16);
  EXPECT_DOUBLE_EQ(load_inputs(traced("{}", written({12, 12}))).experiment.step_period().value,
                   0.012);
  EXPECT_THAT(refusal([] { load_inputs(traced(R"({"batch": 64})")); }),
              AllOf(HasSubstr("test.json: /batch: is 64, but the samples of "),
                    HasSubstr("data/traces/synthetic-e128-k8-b16.safetensors hold 16 tokens each; "
                              "leave it out")));
  EXPECT_THAT(refusal([] { load_inputs(traced(R"({"workload": "small_batch"})")); }),
              HasSubstr("/batch: is 4"));
  EXPECT_THAT(refusal([&] {
                load_inputs(traced("{}", written({16, 16, 9})));
              }),
              HasSubstr("trace.safetensors: router_logits: sample 2 holds 9 tokens where others "
                        "hold 16"));
}

TEST_F(TraceRun, AShapeThatTheCostsDoNotHoldIsNamedWithItsOp) {
  const std::string said =
      refusal([&] { check_experiment(load_inputs(traced("{}", written({16}, 64)))); });
  EXPECT_THAT(said,
              AllOf(HasSubstr("/costed_as: Qwen3-30B-A3B has 128 experts and takes 8"),
                    HasSubstr("trace.safetensors has 64 and takes 8"),
                    HasSubstr("moe_experts [64, 8, d_model, d_ff]"), HasSubstr("thermoe price")));
}

TEST_F(TraceRun, ARouterOfBiasedScoresAndLimitedGroupsIsRunAsItsFileTells) {
  constexpr int kTokens = 16, kExperts = 128, kSamples = 8;
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(kSamples * kTokens * kExperts), beta(kExperts);
  for (float& x : values) x = normal(random);
  for (float& x : beta) x = 0.05F * normal(random);
  const TensorView tensors[] = {{.name = "router_logits",
                                 .dtype = "F32",
                                 .shape = {kSamples, 1, kTokens, kExperts},
                                 .data = std::as_bytes(std::span(values))},
                                {.name = "selection_bias",
                                 .dtype = "F32",
                                 .shape = {1, kExperts},
                                 .data = std::as_bytes(std::span(beta))}};
  const std::string path = folder_ + "/sigmoid.safetensors";
  write_safetensors(
      path, tensors,
      {{"k", "8"}, {"score_function", "sigmoid"}, {"groups", "8"}, {"groups_kept", "4"}});
  const RunResult result = run_trace(traced(
      R"({"targets": {"power_w": 400}, "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"],
          "duration_s": 15})",
      path));
  EXPECT_THAT(result.summary.costs, HasSubstr("128 experts, top-8, sigmoid;"));
  EXPECT_NEAR(named(result, "BASELINE").kept_mass.value(), 1.0, 1e-6);
  EXPECT_GT(named(result, "BASELINE").mean_power.value, 420);
  EXPECT_NEAR(named(result, "KERNEL_AWARE_TTHA").mean_power.value, 400, 0.03 * 400);
}

/// A real router's trace, charged at made-up costs of its shape: the shipped ones with fewer
/// experts.
class RealTraceRun : public TraceRun, public testing::WithParamInterface<const char*> {
 protected:
  std::string costs(const std::string& name) const {
    nlohmann::json model = read_json_file(fmt::format("{}/data/h100/{}.json", kRoot, name));
    nlohmann::json& entry = model["entries"][0];
    entry["shape"] = {32, 4, 2880, 2880};
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& row : entry["rows"]) {
      if (row["active_experts"] <= 32) rows.push_back(row);
    }
    entry["rows"] = rows;
    const std::string path = fmt::format("{}/{}.json", folder_, name);
    std::ofstream(path) << model;
    return path;
  }
};

TEST_P(RealTraceRun, RoutesAsTheModelDoesAndHoldsACapBelowThat) {
  const std::string file = fmt::format("{}/../shared/data/traces/{}", kRoot, GetParam());
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "there is no ../shared/data/traces";
  const std::string shape = fmt::format(
      R"("cost_model": "{}", "plant": {{"cost_model": "{}"}}, "costed_as":
         {{"name": "gpt-oss-20b", "layers": 24, "shape": [32, 4, 2880, 2880]}})",
      costs("kernel_cost_model"), costs("plant_cost_model"));
  const RunResult plain = run_trace(
      traced(fmt::format(R"({{{}, "strategies": ["BASELINE"], "duration_s": 6.4}})", shape), file));
  const StrategySummary& baseline = named(plain, "BASELINE");
  EXPECT_NEAR(baseline.mean_active_experts, 23.0, 0.1) << "each of the 64 samples once";
  const double cap = baseline.mean_power.value - 8.0;
  const RunResult held = run_trace(traced(
      fmt::format(R"({{{}, "targets": {{"power_w": {}}}, "duration_s": 20}})", shape, cap), file));
  const StrategySummary& ttha = named(held, "KERNEL_AWARE_TTHA");
  EXPECT_NEAR(ttha.mean_power.value, cap, 0.02 * cap);
  EXPECT_LT(ttha.mean_active_experts, 22.5);
  EXPECT_GT(ttha.quality_loss.value(), 0.0);
  EXPECT_THAT(summary_table(held.summary), HasSubstr("loss, nats"));
}

INSTANTIATE_TEST_SUITE_P(GptOss, RealTraceRun,
                         testing::Values("gpt-oss-20b-b16.safetensors",
                                         "gpt-oss-20b-b16-ceil.safetensors"));

}  // namespace
}  // namespace thermoe
