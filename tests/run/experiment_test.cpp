// SPDX-License-Identifier: Apache-2.0
#include "run/experiment.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

Experiment parse(const std::string& text) {
  return experiment_from(parse_json(text, "e.json"), "experiments/e.json");
}

void expect_refused(const std::string& text, const std::string& key, const std::string& remedy) {
  try {
    parse(text);
    FAIL() << "accepted: " << text;
  } catch (const FormatError& error) {
    EXPECT_EQ(error.key(), key) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr("e.json"));
    EXPECT_THAT(error.what(), testing::HasSubstr(remedy));
  }
}

TEST(Experiment, AnEmptyObjectIsTheDefaultExperiment) {
  const Experiment e = parse("{}");
  EXPECT_EQ(e.name, "e");
  EXPECT_EQ(e.batch, 16);
  EXPECT_NEAR(e.step_period().value, 0.016, 1e-12);
  EXPECT_EQ(e.costed_as.name, "Qwen3-30B-A3B");
  EXPECT_FALSE(e.targets.any());
}

TEST(Experiment, EveryFieldSurvivesWritingAndReading) {
  const std::string text = R"({
    "name": "all", "description": "d", "machine": "gpu", "decoder": "model", "model": "m.safetensors",
    "text": {"file": "a", "index": "b", "calibration": "c", "calibration_index": "d", "context": 64},
    "strategies": ["REDUCED_K", "BASELINE"], "batch": 8, "arrival": {"kind": "saturated"},
    "workload": "high_complexity", "expert_type": "mixed",
    "targets": {"power_w": 300, "temperature_c": 44.5, "step_ms": 7.5},
    "cost_model": "x.json", "costed_as": "Qwen3-30B-A3B",
    "plant": {"file": "p", "cost_model": "q", "energy_scale": 0.85, "idle_offset_w": -20,
              "sensor_delay_s": 0.2, "step_noise": 0.05},
    "disturbances": [
      {"kind": "background", "from_s": 1, "to_s": 2, "power_w": 60, "bandwidth_share": 0.15},
      {"kind": "background", "from_s": 1, "to_s": 2, "power_fraction": 0.2, "bandwidth_share": 0},
      {"kind": "ambient", "from_s": 1, "to_s": 2, "offset_c": 5},
      {"kind": "sensor_dropout", "from_s": 1, "to_s": 2},
      {"kind": "sensor_freeze", "from_s": 1, "to_s": 2},
      {"kind": "sensor_nan", "from_s": 1, "to_s": 2}],
    "gpu": {"calibrate": true, "distinct_layers": 12, "cool_down_s": 5},
    "control": {"mode": "adapter_only", "k_min": 2, "price": 0.125, "sensor_delay_s": 0.25,
                "sensor_window_s": 0.05, "bias_clamp": 0.2, "max_quality_loss": 0.5,
                "fallback": "baseline", "stale_after_s": 2.5, "recover_after_s": 4,
                "valid_ticks": 5},
    "duration_s": 30, "tick_s": 0.2, "decode_steps_per_tick": 3, "warmup_steps": 5,
    "calibration_samples": 7, "kl_every": 2, "rounds": 3, "round": 2, "seed": 42})";
  const Experiment e = parse(text);
  EXPECT_EQ(e.step_period(), Seconds(0));
  EXPECT_NEAR(e.targets.step_time->value, 0.0075, 1e-12);
  EXPECT_EQ(e.plant.sensor_delay, Seconds(0.2));
  EXPECT_EQ(e.disturbances[2].ambient, Celsius(5));
  EXPECT_EQ(e.control.mode, TthaMode::kAdapterOnly);
  EXPECT_EQ(e.expert_type, ExpertType::kMixed);
  const nlohmann::json written = to_json(e);
  nlohmann::json given = parse_json(text, "");
  given["schema"] = 1;
  EXPECT_EQ(written, given);
  EXPECT_EQ(to_json(experiment_from(written, "e.json")), written);
}

TEST(Experiment, NullIsAsIfLeftOutForEveryField) {
  nlohmann::json nulls;
  const nlohmann::json all = to_json(Experiment{.strategies = {Strategy::kBaseline}});
  for (const auto& [name, value] : all.items()) nulls[name] = nullptr;
  nulls["disturbances"] = nullptr;
  EXPECT_EQ(to_json(experiment_from(nulls, "experiments/e.json")), to_json(parse("{}")));
}

TEST(Experiment, AnUnknownFieldIsRefusedWithTheNearestKnownName) {
  expect_refused(R"({"stratgies": ["BASELINE"]})", "/stratgies", "did you mean \"strategies\"");
  expect_refused(R"({"targets": {"power": 3}})", "/targets/power", "did you mean \"power_w\"");
  expect_refused(R"({"plant": {"energy_scal": 1}})", "/plant/energy_scal", "energy_scale");
  expect_refused(R"({"control": {"kmin": 1}})", "/control/kmin", "k_min");
  expect_refused(R"({"disturbances": [{"kind": "ambient", "from_s": 0, "to_s": 1, "offset_c": 1,
                     "power_w": 3}]})",
                 "/disturbances/0/power_w", "not a known field");
}

TEST(Experiment, ValuesOutOfRangeAreRefused) {
  expect_refused(R"({"targets": {"power_w": -350}})", "/targets/power_w", "-350");
  expect_refused(R"({"duration_s": 0})", "/duration_s", "within [1,");
  expect_refused(R"({"batch": 1.5})", "/batch", "whole number");
  expect_refused(R"({"seed": -1})", "/seed", "-1");
  expect_refused(R"({"plant": {"energy_scale": 0}})", "/plant/energy_scale", "within");
  expect_refused(R"({"text": {"context": "long"}})", "/text/context", "whole number");
  expect_refused(R"({"name": "a/b"})", "/name", "slash");
}

TEST(Experiment, WordsThatAreNotAmongTheChoicesAreRefusedWithTheNearest) {
  expect_refused(R"({"strategies": ["BASELINE", "KERNEL_AWARE"]})", "/strategies/1",
                 "KERNEL_AWARE_TTHA");
  expect_refused(R"({"strategies": [3]})", "/strategies/0", "must be a string");
  expect_refused(R"({"strategies": []})", "/strategies", "name one at least");
  expect_refused(R"({"strategies": ["BASELINE", "BASELINE"]})", "/strategies/1", "twice");
  expect_refused(R"({"workload": "smal_batch"})", "/workload", "small_batch");
  expect_refused(R"({"arrival": {"kind": "poisson"}})", "/arrival/kind", "fixed_rate, saturated");
  expect_refused(R"({"control": {"fallback": "statc"}})", "/control/fallback", "\"static\"");
  expect_refused(R"({"expert_type": "int4"})", "/expert_type", "simple, quantized, mixed");
  expect_refused(R"({"disturbances": [{"kind": "sensor_freze", "from_s": 0, "to_s": 1}]})",
                 "/disturbances/0/kind", "sensor_freeze");
}

TEST(Experiment, CombinationsWithoutMeaningAreRefused) {
  expect_refused(R"({"arrival": {"kind": "saturated", "tokens_per_second": 5}})",
                 "/arrival/tokens_per_second", "saturated");
  expect_refused(R"({"workload": "small_batch", "batch": 16})", "/batch", "remove it");
  expect_refused(R"({"disturbances": [{"kind": "background", "from_s": 2, "to_s": 1}]})",
                 "/disturbances/0/to_s", "later than from_s");
  expect_refused(R"({"disturbances": [{"kind": "background", "from_s": 0, "to_s": 1,
                                       "power_w": 60, "power_fraction": 0.2}]})",
                 "/disturbances/0/power_fraction", "keep one");
  expect_refused(R"({"duration_s": 10, "disturbances": [
                     {"kind": "sensor_nan", "from_s": 10, "to_s": 11}]})",
                 "/disturbances/0/from_s", "duration_s");
  expect_refused(R"([])", "", "must be an object");
}

nlohmann::json serving() {
  return parse_json(R"({
    "name": "serving", "decoder": "trace", "trace": {"file": "t.safetensors"},
    "strategies": ["BASELINE", "KERNEL_AWARE_TTHA", "PRICE_ALONE", "PACING_ALONE", "LARGER_BATCH"],
    "arrivals": {"kind": "bursty", "rate_per_s": 3, "tokens_in": 32,
                 "tokens_out": {"law": "log_normal", "mean": 256, "spread": 0.5},
                 "burst_factor": 2, "burst_share": 0.25, "burst_s": 5},
    "engine": {"name": "vLLM", "context": 160, "batch_limit": 48, "graph_sizes": [1, 2, 4, 8],
               "larger_batch_limit": 128, "prefill_tokens_per_step": 1024,
               "prefill_us_per_token": 20, "prefill_mj_per_token": 7.5, "prefill_step_ms": 1.5,
               "prefill_step_j": 0.5, "prefill_paced": true},
    "targets": {"power_w": 300, "time_between_tokens_ms": 24, "time_to_first_token_ms": 500},
    "objective": "throughput", "duration_s": 30})",
                    "serving");
}

Experiment serving_with(const std::string& changes) {
  nlohmann::json json = serving();
  json.merge_patch(parse_json(changes, "changes"));
  return experiment_from(json, "experiments/e.json");
}

TEST(Experiment, RequestsThatArriveAndTheirEngineSurviveWritingAndReading) {
  const nlohmann::json given = serving();
  const Experiment e = experiment_from(given, "e.json");
  ASSERT_TRUE(e.arrivals);
  EXPECT_EQ(e.arrivals->law.kind, ArrivalSpec::Kind::kBursty);
  EXPECT_EQ(e.arrivals->law.tokens_out.kind, TokenLaw::Kind::kLogNormal);
  EXPECT_EQ(e.tokens_per_second, std::nullopt) << "the requests make the rate";
  EXPECT_EQ(e.step_period(), Seconds(0));
  EXPECT_EQ(e.serving_engine(Strategy::kKernelAwareTtha).batch_limit, 48);
  EXPECT_EQ(e.serving_engine(Strategy::kLargerBatch).batch_limit, 128);
  EXPECT_NEAR(e.engine.prefill.per_token.latency.value, 20e-6, 1e-15);
  EXPECT_NEAR(e.targets.between_tokens->value, 0.024, 1e-12);
  const nlohmann::json written = to_json(e);
  for (const auto& [name, value] : given.items()) EXPECT_EQ(written[name], value) << name;
  EXPECT_FALSE(written.contains("arrival"));
  EXPECT_FALSE(written.contains("batch"));
  EXPECT_EQ(to_json(experiment_from(written, "e.json")), written);
}

TEST(Experiment, EveryLawOfArrivalsSurvivesWritingAndReading) {
  for (const char* law :
       {R"({"kind": "poisson", "rate_per_s": 2, "tokens_in": 1, "tokens_out": 8})",
        R"({"kind": "day_cycle", "rate_per_s": 2, "tokens_in": {"law": "geometric", "mean": 3},
            "tokens_out": 8, "swing": 0.5, "day_s": 60})",
        R"({"kind": "recorded", "file": "arrivals.csv"})"}) {
    nlohmann::json json = serving();
    json["arrivals"] = parse_json(law, "law");
    EXPECT_EQ(to_json(experiment_from(json, "e.json"))["arrivals"], json["arrivals"]);
  }
}

TEST(Experiment, WithoutALimitOfItsOwnTheLargerBatchIsTwice) {
  const Experiment e = serving_with(R"({"engine": {"larger_batch_limit": null}})");
  EXPECT_EQ(e.serving_engine(Strategy::kLargerBatch).batch_limit, 96);
  EXPECT_EQ(e.most_rows(), 96 + 128) << "and prompts beside";
}

TEST(Experiment, WhatStepsAreDecodedForIsTheEnginesWhicheverStrategiesRun) {
  EXPECT_EQ(serving_with("{}").most_rows(), 128 + 128);
  EXPECT_EQ(serving_with(R"({"strategies": ["BASELINE"]})").most_rows(), 128 + 128);
  EXPECT_EQ(quick(serving_with("{}")).most_rows(), 128 + 128);
}

TEST(Experiment, AQuickDayIsShorterToo) {
  const Experiment e = serving_with(R"({"duration_s": 240, "arrivals":
      {"kind": "day_cycle", "swing": 0.5, "day_s": 240, "burst_factor": null, "burst_share": null,
       "burst_s": null}})");
  EXPECT_EQ(quick(e).duration, Seconds(60));
  EXPECT_EQ(quick(e).arrivals->law.day, Seconds(60));
}

TEST(Experiment, WhatHasNoMeaningWhereRequestsArriveIsRefused) {
  const auto refused = [](const std::string& changes, const std::string& key,
                          const std::string& remedy) {
    try {
      serving_with(changes);
      ADD_FAILURE() << "accepted: " << changes;
    } catch (const FormatError& error) {
      EXPECT_EQ(error.key(), key) << error.what();
      EXPECT_THAT(error.what(), testing::HasSubstr(remedy));
    }
  };
  refused(R"({"arrival": {"tokens_per_second": 1000}})", "/arrival", "beside arrivals");
  refused(R"({"batch": 16})", "/batch", "remove it");
  refused(R"({"decode_steps_per_tick": 2})", "/decode_steps_per_tick", "remove it");
  refused(R"({"workload": "small_batch"})", "/workload", "\"standard\"");
  refused(R"({"machine": "gpu"})", "/machine", "use \"simulated\"");
  refused(R"({"decoder": null, "trace": null})", "/decoder", "set it to \"trace\"");
  refused(R"({"targets": {"step_ms": 9}})", "/targets/step_ms", "time_between_tokens_ms");
  refused(R"({"arrivals": {"kind": "poison"}})", "/arrivals/kind", "poisson");
  refused(R"({"arrivals": {"rate_per": 3}})", "/arrivals/rate_per", "rate_per_s");
  refused(R"({"arrivals": {"rate_per_s": -3}})", "/arrivals/rate_per_s", "-3");
  refused(R"({"arrivals": {"burst_share": 0.75}})", "/arrivals/burst_share", "0.5");
  refused(R"({"arrivals": {"kind": "poisson"}})", "/arrivals/burst_factor", "not a known field");
  refused(R"({"arrivals": {"tokens_out": {"law": "normal", "mean": 3, "spread": null}}})",
          "/arrivals/tokens_out/law", "log_normal");
  refused(R"({"engine": {"graph_sizes": [1, 4, 4]}})", "/engine/graph_sizes/2", "ascend");
  refused(R"({"engine": {"batchlimit": 3}})", "/engine/batchlimit", "batch_limit");
  refused(R"({"engine": {"larger_batch_limit": 32}})", "/engine/larger_batch_limit", "48");
  refused(R"({"objective": "watts"})", "/objective", "energy, throughput");
  refused(R"({"targets": {"time_between_token_ms": 9}})", "/targets/time_between_token_ms",
          "time_between_tokens_ms");
}

TEST(Experiment, WhatIsForArrivalsAloneIsRefusedWithoutThem) {
  expect_refused(R"({"engine": {"batch_limit": 64}})", "/engine/batch_limit", "add \"arrivals\"");
  expect_refused(R"({"targets": {"time_between_tokens_ms": 9}})", "/targets/time_between_tokens_ms",
                 "add \"arrivals\"");
  expect_refused(R"({"targets": {"time_to_first_token_ms": 9}})", "/targets/time_to_first_token_ms",
                 "add \"arrivals\"");
  expect_refused(R"({"objective": "throughput"})", "/objective", "add \"arrivals\"");
  expect_refused(R"({"strategies": ["BASELINE", "PACING_ALONE"]})", "/strategies/1",
                 "PACING_ALONE is for an engine to which requests arrive");
}

TEST(Experiment, AShapeOfACostModelIsGivenWithItsLayers) {
  const std::string text = R"({"costed_as": {"name": "DeepSeek-V3", "layers": 58,
                               "shape": [256, 8, 7168, 2048]}})";
  const Experiment e = parse(text);
  EXPECT_EQ(e.costed_as.given, (ExpertShape{.name = "DeepSeek-V3",
                                            .experts = 256,
                                            .top_k = 8,
                                            .d_model = 7168,
                                            .d_ff = 2048,
                                            .layers = 58}));
  EXPECT_EQ(experiment_from(to_json(e), "e.json").costed_as.given, e.costed_as.given);
  expect_refused(R"({"costed_as": 3})", "/costed_as", "must be a string");
  expect_refused(R"({"costed_as": {"name": "x", "shape": [1, 1, 1, 1]}})", "/costed_as/layers",
                 "missing");
  for (const char* shape :
       {"[128, 8, 2048]", "[128, 8, 2048, 0]", "[128, 8, 2048, 1.5]", "[1,2,3,4,5]"}) {
    expect_refused(
        R"({"costed_as": {"name": "x", "layers": 4, "shape": )" + std::string(shape) + "}}",
        "/costed_as/shape", "[experts, top_k, d_model, d_ff]");
  }
}

TEST(Experiment, ARecordedRouterStandsInThePlaceOfModelAndText) {
  const Experiment e = parse(R"({"decoder": "trace", "trace": {"file": "x.safetensors"}})");
  ASSERT_TRUE(e.trace.has_value());
  EXPECT_EQ(e.trace->file, "x.safetensors");
  EXPECT_EQ(e.trace->batch, std::nullopt) << "whatever the trace has";
  EXPECT_EQ(parse(R"({"decoder": "trace", "trace": {"file": "x"}, "batch": 8})").trace->batch, 8);
  const nlohmann::json written = to_json(e);
  EXPECT_FALSE(written.contains("model") || written.contains("text"));
  EXPECT_EQ(to_json(experiment_from(written, "e.json")), written);
  EXPECT_FALSE(parse(R"({"decoder": "model"})").trace.has_value());
  expect_refused(R"({"decoder": "trace"})", "/trace", "missing");
  expect_refused(R"({"decoder": "trace", "trace": {}})", "/trace/file", "missing");
  expect_refused(R"({"decoder": "trace", "trace": {"file": "x", "k": 8}})", "/trace/k", "");
  expect_refused(R"({"trace": {"file": "x"}})", "/trace", "add \"decoder\": \"trace\"");
  expect_refused(R"({"decoder": "trase"})", "/decoder", "\"trace\"");
  const std::string trace = R"("decoder": "trace", "trace": {"file": "x"})";
  expect_refused("{" + trace + R"(, "model": "y"})", "/model", "no meaning for a recorded router");
  expect_refused("{" + trace + R"(, "text": {"context": 9}})", "/text", "remove it");
  expect_refused(R"({"decoder": "trace", "trace": {"file": "x"}, "workload": "high_complexity"})",
                 "/workload", "chooses text");
}

TEST(Experiment, WorkloadsSetTheBatch) {
  EXPECT_EQ(parse(R"({"workload": "small_batch"})").batch, 4);
  EXPECT_EQ(parse(R"({"workload": "large_batch"})").batch, 64);
  EXPECT_EQ(parse(R"({"workload": "high_complexity", "batch": 3})").batch, 3);
}

TEST(Experiment, QuickKeepsTheShapeOfTheRunAndTheTenantInIt) {
  Experiment e = parse(R"({"duration_s": 240, "strategies":
      ["BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA", "REDUCED_K"],
      "disturbances": [{"kind": "background", "from_s": 80, "to_s": 140, "power_w": 60}]})");
  e = quick(e);
  EXPECT_EQ(e.duration, Seconds(60));
  EXPECT_EQ(e.disturbances[0].from, Seconds(20));
  EXPECT_EQ(e.disturbances[0].to, Seconds(35));
  EXPECT_EQ(e.strategies, (std::vector<Strategy>{Strategy::kBaseline, Strategy::kKernelAwareTtha}));
  const Experiment one = quick(parse(R"({"duration_s": 30, "strategies": ["REDUCED_K"]})"));
  EXPECT_EQ(one.duration, Seconds(30));
  EXPECT_EQ(one.strategies, (std::vector<Strategy>{Strategy::kReducedK}));
}

TEST(Experiment, FilesAreFoundFromTheExperimentsProjectAndMissingOnesNamed) {
  Experiment e{.path = std::string(THERMOE_SOURCE_DIR) + "/experiments/e.json"};
  EXPECT_TRUE(std::filesystem::exists(find_file(e, "/plant/file", "data/h100/plant.json")));
  try {
    find_file(e, "/model", "model/none.safetensors");
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_EQ(error.key(), "/model");
    EXPECT_THAT(error.what(), testing::HasSubstr("\"model/none.safetensors\" is not there"));
  }
}

TEST(Experiment, TheShippedExperimentsAreValid) {
  int found = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(THERMOE_SOURCE_DIR) + "/experiments")) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path());
    const Experiment e = read_experiment(entry.path().string());
    EXPECT_EQ(e.name, entry.path().stem());
    EXPECT_FALSE(e.description.empty());
    ++found;
  }
  EXPECT_GE(found, 6);
}

}  // namespace
}  // namespace thermoe
