// SPDX-License-Identifier: Apache-2.0
// `thermoe price` as a user meets it: what it says about what it was given.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/json_file.h"
#include "moe/safetensors.h"
#include "thermoe_process.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kExperts = 128;  // with top-8, a shape that the shipped cost model has

class PriceCommand : public testing::Test {
 protected:
  PriceCommand() { std::filesystem::create_directories(folder_); }
  ~PriceCommand() override { std::filesystem::remove_all(folder_); }

  /// One sample of one layer. The last `padding` rows are constant.
  std::string write(std::int64_t tokens, const std::map<std::string, std::string>& metadata,
                    int padding = 0, const std::string& name = "logits.safetensors") const {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(tokens) * kExperts);
    for (float& x : values) x = normal(random);
    std::fill(values.end() - padding * static_cast<std::ptrdiff_t>(kExperts), values.end(), 0.0F);
    return write_values(tokens, values, metadata, name);
  }

  std::string write_values(std::int64_t tokens, const std::vector<float>& values,
                           const std::map<std::string, std::string>& metadata,
                           const std::string& name = "logits.safetensors") const {
    const TensorView tensor{.name = "router_logits",
                            .dtype = "F32",
                            .shape = {1, tokens, kExperts},
                            .data = std::as_bytes(std::span(values))};
    const std::string path = folder_ + "/" + name;
    write_safetensors(path, {&tensor, 1}, metadata);
    return path;
  }

  static ProcessResult price(std::vector<std::string> words) {
    words.insert(words.begin(), "price");
    words.insert(words.end(), {"--levels", "2"});
    return thermoe_process(words);
  }
  static nlohmann::json price_json(std::vector<std::string> words) {
    words.emplace_back("--json");
    const ProcessResult result = price(std::move(words));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "stdout");
  }

  std::string folder_ = testing::TempDir() + "/price_command_" + std::to_string(::getpid());
};

TEST_F(PriceCommand, SaysWhatOfTheRouterIsAssumedAndWhatFlagsSay) {
  const std::string silent = write(8, {{"k", "8"}});
  EXPECT_THAT(price({silent}).out,
              AllOf(HasSubstr("router: softmax, denominator picked\n"),
                    HasSubstr("assumed, as the file does not say: score_function, groups, "
                              "denominator, routed_scale\n"),
                    Not(HasSubstr("flags say"))));
  EXPECT_EQ(price_json({silent})["score_function_basis"], "assumed");
  const std::string told = write(8, {{"k", "8"}, {"score_function", "softmax"}});
  EXPECT_THAT(price({told, "--denominator", "none"}).out,
              AllOf(HasSubstr("router: softmax, denominator none\n"),
                    HasSubstr("as flags say: denominator\n"),
                    HasSubstr("assumed, as the file does not say: groups, routed_scale\n")));
  const nlohmann::json router = price_json({told, "--denominator", "none"})["router"];
  EXPECT_EQ(router["denominator"], "none");
  EXPECT_EQ(router["basis"], nlohmann::json({{"k", "file"},
                                             {"score_function", "file"},
                                             {"groups", "assumed"},
                                             {"denominator", "flag"},
                                             {"routed_scale", "assumed"}}));
}

/// What one token of a sigmoid router with a bias picks of 8 groups' 3 best, best first.
std::vector<std::size_t> grouped_picks(std::span<const float> logits, std::span<const float> bias,
                                       std::size_t k) {
  constexpr std::size_t kGroups = 8, kKept = 3;
  const std::size_t width = logits.size() / kGroups;
  std::vector<double> choice;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    choice.push_back(1.0 / (1.0 + std::exp(-double{logits[e]})) + double{bias[e]});
  }
  std::vector<std::pair<double, std::size_t>> groups;
  for (std::size_t g = 0; g < kGroups; ++g) {
    const auto first = choice.begin() + static_cast<std::ptrdiff_t>(g * width);
    std::vector<double> own(first, first + static_cast<std::ptrdiff_t>(width));
    std::ranges::sort(own, std::greater<>());
    groups.emplace_back(own[0] + own[1], g);
  }
  std::ranges::sort(groups, std::greater<>());
  std::vector<std::pair<double, std::size_t>> candidates;
  for (std::size_t i = 0; i < kKept; ++i) {
    for (std::size_t j = 0; j < width; ++j) {
      const std::size_t e = groups[i].second * width + j;
      candidates.emplace_back(choice[e], e);
    }
  }
  std::ranges::sort(candidates, std::greater<>());
  std::vector<std::size_t> picks;
  for (std::size_t i = 0; i < k; ++i) picks.push_back(candidates[i].second);
  return picks;
}

TEST_F(PriceCommand, AGroupLimitedRouterWithABiasIsPricedAsItPicks) {
  constexpr int kTokens = 8, kTop = 6;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> logits(kTokens * kExperts), bias(kExperts);
  for (float& x : logits) x = normal(random);
  for (float& b : bias) b = 0.2F * normal(random);
  logits[3] = -std::numeric_limits<float>::infinity();
  const std::vector<TensorView> tensors = {{.name = "router_logits",
                                            .dtype = "F32",
                                            .shape = {1, kTokens, kExperts},
                                            .data = std::as_bytes(std::span(logits))},
                                           {.name = "selection_bias",
                                            .dtype = "F32",
                                            .shape = {1, kExperts},
                                            .data = std::as_bytes(std::span(bias))}};
  const std::string file = folder_ + "/grouped.safetensors";
  write_safetensors(file, tensors,
                    {{"k", "6"},
                     {"score_function", "sigmoid"},
                     {"groups", "8"},
                     {"groups_kept", "3"},
                     {"denominator", "picked"},
                     {"routed_scale", "2.5"}});
  EXPECT_THAT(price({file}).out,
              AllOf(HasSubstr("router: sigmoid, selection bias, 3 of 8 groups, denominator picked, "
                              "scale 2.5; losses on unbiased scores\n"),
                    Not(HasSubstr("assumed"))));
  const nlohmann::json json = price_json({file});
  EXPECT_EQ(json["pricing"].size(), 3U);
  for (int k = kTop; k >= 1; --k) {
    std::set<std::size_t> active;
    double kept = 0.0;
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto row = std::span(logits).subspan(t * kExperts, kExperts);
      const std::vector<std::size_t> picks = grouped_picks(row, bias, kTop);
      double whole = 0.0, part = 0.0;
      for (std::size_t i = 0; i < kTop; ++i) {
        const double p = 1.0 / (1.0 + std::exp(-double{row[picks[i]]}));
        whole += p;
        if (i < static_cast<std::size_t>(k)) part += p;
      }
      kept += part / whole / kTokens;
      active.insert(picks.begin(), picks.begin() + k);
    }
    const nlohmann::json& option = json["fewer_experts"][static_cast<std::size_t>(kTop - k)];
    EXPECT_EQ(option["active_experts"], static_cast<double>(active.size())) << "top-" << k;
    EXPECT_NEAR(option["kept_mass"].get<double>(), kept, 1e-5) << "top-" << k;
  }
  EXPECT_EQ(json["pricing"][0]["active_experts"], json["fewer_experts"][0]["active_experts"]);
  const nlohmann::json biased = price_json({file, "--loss-scores", "biased"});
  EXPECT_EQ(biased["router"]["loss_scores"], "biased");
  EXPECT_NE(biased["pricing"][1], json["pricing"][1]);
}

TEST_F(PriceCommand, WithoutCostsOfTheShapeDistinctExpertsAndLossRemain) {
  const std::string file = write(8, {{"k", "8"}});
  const ProcessResult text = price({file, "--dtype", "fp8"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("has no moe_experts [128, 8, d_model, d_ff] fp8; it has: "
                                        "moe_experts [128, 8, 2048, 768] bf16"),
                              HasSubstr("docs/cost-model.md"), HasSubstr("-ln kept\n"),
                              Not(HasSubstr("tokens/s"))));
  const nlohmann::json known = price_json({file}), missing = price_json({file, "--dtype", "fp8"});
  EXPECT_EQ(missing["missing_op"], "moe_experts [128, 8, d_model, d_ff] fp8");
  for (const char* key : {"table", "model_layers", "step_period_ms", "costs_basis", "note"}) {
    EXPECT_TRUE(known.contains(key)) << key;
    EXPECT_FALSE(missing.contains(key)) << key;
  }
  for (const char* options : {"pricing", "opportunistic", "fewer_experts"}) {
    ASSERT_EQ(known[options].size(), missing[options].size());
    for (std::size_t i = 0; i < known[options].size(); ++i) {
      nlohmann::json priced = known[options][i];
      for (const char* cost :
           {"step_ms", "tokens_per_second", "joules_per_token", "power_w", "basis"}) {
        EXPECT_EQ(priced.erase(cost), 1U) << cost;
      }
      EXPECT_EQ(priced, missing[options][i]) << "costs change no routing of experts all alike";
    }
  }
}

TEST_F(PriceCommand, ATargetNeedsCostsAndNamesTheOpThatIsMissing) {
  const std::string file = write(8, {{"k", "4"}});
  for (const char* target : {"--power-cap", "--step-cap"}) {
    const ProcessResult result = price({file, target, "300"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(HasSubstr(target),
                                  HasSubstr("data/h100/kernel_cost_model.json has no "
                                            "moe_experts [128, 4, d_model, d_ff]"),
                                  HasSubstr("Profile that shape")));
  }
}

TEST_F(PriceCommand, FlagsOfTheRouterAreStrict) {
  const std::string file = write(8, {{"k", "8"}});
  const auto refusal = [&](const char* flag, const char* value) {
    const ProcessResult result = price({file, flag, value});
    EXPECT_EQ(result.exit_code, 2) << flag << ' ' << value;
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_THAT(refusal("--score", "sigmod"),
              HasSubstr("--score: sigmod is not one of softmax, sigmoid, sqrt_softplus; did you "
                        "mean sigmoid?"));
  EXPECT_THAT(refusal("--denominator", "all"), HasSubstr("picked, reference, none"));
  EXPECT_THAT(refusal("--loss-scores", "biassed"), HasSubstr("did you mean biased?"));
  EXPECT_THAT(refusal("--groups", "3"),
              HasSubstr(file + ": --groups: 3 groups, but not how many of them a token keeps"));
  EXPECT_THAT(refusal("--groups-kept", "2"), HasSubstr("--groups-kept: 2 does not lie in 1..1"));
  EXPECT_THAT(refusal("--k", "129"), HasSubstr("--k: 129 does not lie in 1..128"));
}

TEST_F(PriceCommand, PaddingIsSaidAndIsNoToken) {
  const std::string padded = write(16, {{"k", "8"}}, 8);
  EXPECT_THAT(thermoe_process({"price", padded, "--levels", "1"}).out,
              AllOf(HasSubstr("8 tokens on average"), HasSubstr("8 tokens have constant rows")));
  const auto json =
      parse_json(thermoe_process({"price", padded, "--levels", "1", "--json"}).out, "stdout");
  EXPECT_EQ(json["padding_tokens"], 8);
  EXPECT_EQ(json["tokens"], 8);
  const auto clean = parse_json(
      thermoe_process({"price", write(8, {{"k", "8"}}), "--levels", "1", "--json"}).out, "stdout");
  EXPECT_EQ(json["pricing"], clean["pricing"]) << "the same tokens without padding";
}

TEST_F(PriceCommand, ScoresAreNotedWhereLogitsBelong) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> score(0.1F, 0.9F);
  std::vector<float> values(8 * kExperts);
  for (float& x : values) x = score(random);
  const std::string file = write_values(8, values, {{"k", "8"}});
  EXPECT_THAT(thermoe_process({"price", file, "--levels", "1"}).out,
              HasSubstr("Note: every value lies between 0 and 1"));
  EXPECT_EQ(parse_json(thermoe_process({"price", file, "--levels", "1", "--json"}).out,
                       "stdout")["logits_look_like_scores"],
            true);
  EXPECT_THAT(thermoe_process({"price", write(8, {{"k", "8"}}), "--levels", "1"}).out,
              Not(HasSubstr("scores (of")));
}

TEST_F(PriceCommand, BeyondTheTableEveryCostIsSaidToBeExtrapolated) {
  const std::string large = write(4096, {{"k", "8"}});
  EXPECT_THAT(thermoe_process({"price", large, "--levels", "1"}).out,
              AllOf(HasSubstr("Note: a step has 4096 tokens, the table 1 to 64"),
                    HasSubstr("* beyond the rows of the table: extrapolated")));
  const auto json =
      parse_json(thermoe_process({"price", large, "--levels", "1", "--json"}).out, "stdout");
  EXPECT_EQ(json["costs_basis"], "extrapolated");
  EXPECT_EQ(json["table_tokens"]["max"], 64.0);
  EXPECT_EQ(json["pricing"][0]["basis"], "extrapolated");
  const std::string within = write(16, {{"k", "8"}});
  EXPECT_THAT(thermoe_process({"price", within, "--levels", "1"}).out, Not(HasSubstr("Note:")));
}

TEST_F(PriceCommand, WhereOnlyExpertLayersAreKnownItSaysSoAndWhy) {
  const std::string logits = write(16, {{"k", "8"}});
  EXPECT_THAT(price({logits, "--layers", "48"}).out,
              AllOf(HasSubstr("not measured: idle and expert layers only.\n"),
                    HasSubstr("thermoe cost fit-step")));
  const auto json = price_json({logits, "--layers", "48"});
  EXPECT_TRUE(json["other"].is_null());
  EXPECT_THAT(json["note"].get<std::string>(), HasSubstr("expert layers only"));
  const ProcessResult none = price({logits, "--engine", "vLLM"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, AllOf(HasSubstr("--engine vLLM: data/h100/kernel_cost_model.json: /other"),
                              HasSubstr("it has: none")));
}

TEST_F(PriceCommand, AStepCostsWhatFitStepFoundBesideItsExpertLayers) {
  const std::string logits = write(16, {{"k", "8"}});
  const std::string costs = folder_ + "/costs.json";
  const ProcessResult fit =
      thermoe_process({"cost", "fit-step", "data/h100/vllm_steps.csv", "--cost-model",
                       "data/h100/kernel_cost_model.json", "--model", "Qwen3-30B-A3B", "--engine",
                       "vLLM 0.25.1", "--out", costs});
  ASSERT_EQ(fit.exit_code, 0) << fit.err;
  EXPECT_THAT(fit.out, AllOf(HasSubstr("4.973 ms + 0.1442 ms x D"), HasSubstr("Written to ")));

  const auto experts = price_json({logits, "--layers", "48"});
  const auto whole = price_json({logits, "--layers", "48", "--cost-model", costs});
  const double other_ms = whole["other"]["latency_ms"].get<double>();
  EXPECT_NEAR(other_ms, 4.1, 0.05);
  EXPECT_EQ(whole["other"]["of"], "Qwen3-30B-A3B on vLLM 0.25.1");
  for (std::size_t i = 0; i < whole["pricing"].size(); ++i) {
    EXPECT_NEAR(whole["pricing"][i]["step_ms"].get<double>(),
                experts["pricing"][i]["step_ms"].get<double>() + other_ms, 1e-9);
    EXPECT_GT(whole["pricing"][i]["power_w"], experts["pricing"][i]["power_w"]);
  }
  EXPECT_THAT(price({logits, "--layers", "48", "--cost-model", costs}).out,
              HasSubstr("expert layers and 4.10 ms, 290 mJ beside them (Qwen3-30B-A3B on vLLM"));
  EXPECT_THAT(
      price({logits, "--cost-model", costs}).out,
      AllOf(HasSubstr("expert layers only.\n"),
            HasSubstr("the layers charged are 1, and Qwen3-30B-A3B has 48: --layers 48\n")));

  ASSERT_EQ(thermoe_process({"cost", "fit-step", "data/h100/vllm_steps.csv", "--cost-model", costs,
                             "--model", "Qwen3-30B-A3B", "--engine", "SGLang", "--out", costs})
                .exit_code,
            0);
  EXPECT_THAT(price({logits, "--layers", "48", "--cost-model", costs}).out,
              HasSubstr("choose with --engine: Qwen3-30B-A3B on vLLM 0.25.1; Qwen3-30B-A3B on "
                        "SGLang\n"));
  EXPECT_THAT(price({logits, "--layers", "48", "--cost-model", costs, "--engine", "SGLang"}).out,
              HasSubstr("beside them (Qwen3-30B-A3B on SGLang"));
}

TEST_F(PriceCommand, AFileNameThatIsNoUtf8IsPriced) {
  const std::string path = write(8, {{"k", "8"}}, 0, "caf\xe9.safetensors");
  const ProcessResult json = thermoe_process({"price", path, "--levels", "1", "--json"});
  ASSERT_EQ(json.exit_code, 0) << json.err;
  EXPECT_THAT(parse_json(json.out, "stdout")["logits"].get<std::string>(),
              HasSubstr("caf\xEF\xBF\xBD.safetensors"));
  EXPECT_THAT(thermoe_process({"price", path, "--levels", "1"}).out,
              HasSubstr("caf\xEF\xBF\xBD.safetensors"));
}

TEST_F(PriceCommand, AFileNameCannotSteerTheTerminal) {
  const std::string path = write(8, {{"k", "8"}}, 0, "a\x1b[2J.safetensors");
  const ProcessResult result = thermoe_process({"price", path, "--levels", "1"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace thermoe
