// SPDX-License-Identifier: Apache-2.0
#include "moe/stated_router.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/errors.h"
#include "moe/router_logits.h"
#include "moe/safetensors.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Metadata = std::map<std::string, std::string>;

constexpr int kLayers = 2, kTokens = 3, kExperts = 8;

/// Logit files of 2 layers, 3 tokens and 8 experts, and what they say of their router.
class RouterOfALogitFile : public ::testing::Test {
 protected:
  void write(const Metadata& metadata, const std::vector<float>& bias = {},
             const std::vector<std::int64_t>& bias_shape = {kLayers, kExperts}) {
    std::vector<float> logits(kLayers * kTokens * kExperts);
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = 0.25F * static_cast<float>(i);
    std::vector<TensorView> tensors = {{.name = "router_logits",
                                        .dtype = "F32",
                                        .shape = {kLayers, kTokens, kExperts},
                                        .data = std::as_bytes(std::span(logits))}};
    if (!bias.empty()) {
      tensors.push_back({.name = "selection_bias",
                         .dtype = "F32",
                         .shape = bias_shape,
                         .data = std::as_bytes(std::span(bias))});
    }
    write_safetensors(path_, tensors, metadata);
  }
  template <class E>
  void expect_refused(const std::string& words, const StatedRouter& given = {}) {
    try {
      read_router_logits(path_, given);
      FAIL() << "was accepted";
    } catch (const E& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_ + ": " + words));
    }
  }
  RouterSpec spec(const StatedRouter& given = {}) { return read_router_logits(path_, given).spec; }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("logits.safetensors");
};

TEST_F(RouterOfALogitFile, IsAPlainSoftmaxWhereOnlyKIsTold) {
  write({{"k", "2"}});
  const RouterLogits read = read_router_logits(path_);
  EXPECT_EQ(read.spec, (RouterSpec{.experts = kExperts, .k = 2}));
  EXPECT_EQ(read.told.k, 2);
  EXPECT_FALSE(read.told.score || read.told.groups || read.told.groups_kept ||
               read.told.denominator || read.told.routed_scale);
}

TEST_F(RouterOfALogitFile, IsWhatTheMetadataTell) {
  write({{"k", "3"},
         {"score_function", "sigmoid"},
         {"groups", "4"},
         {"groups_kept", "2"},
         {"denominator", "none"},
         {"routed_scale", "2.5"},
         {"layers", "2"},
         {"experts", "8"}},
        std::vector<float>(kLayers * kExperts, 0.125F));
  EXPECT_EQ(spec(), (RouterSpec{.experts = kExperts,
                                .k = 3,
                                .score = ScoreFunction::kSigmoid,
                                .groups = 4,
                                .groups_kept = 2,
                                .denominator = WeightDenominator::kNone,
                                .routed_scale = 2.5,
                                .selection_bias = std::vector<float>(16, 0.125F)}));
  EXPECT_EQ(read_router_logits(path_).told.score, ScoreFunction::kSigmoid);
}

TEST_F(RouterOfALogitFile, ComesBackAsWritten) {
  RouterLogits logits{.samples = {{.layers = kLayers, .tokens = 1, .experts = kExperts}},
                      .spec = {.experts = kExperts,
                               .k = 3,
                               .score = ScoreFunction::kSqrtSoftplus,
                               .groups = 2,
                               .groups_kept = 1,
                               .denominator = WeightDenominator::kReference,
                               .routed_scale = 0.1}};
  for (int i = 0; i < kLayers * kExperts; ++i) {
    logits.samples[0].logits.push_back(static_cast<float>(i));
    logits.spec.selection_bias.push_back(-0.1F * static_cast<float>(i));
  }
  write_router_logits(path_, logits);
  EXPECT_EQ(spec(), logits.spec);
  logits.spec.selection_bias.clear();
  write_router_logits(path_, logits);
  EXPECT_EQ(spec(), logits.spec);
}

TEST_F(RouterOfALogitFile, GivesWayToWhatTheCallerSays) {
  write({{"k", "3"},
         {"score_function", "softmax"},
         {"groups", "2"},
         {"groups_kept", "2"},
         {"denominator", "picked"}});
  const RouterSpec given = spec({.k = 2,
                                 .score = ScoreFunction::kSigmoid,
                                 .groups = 4,
                                 .groups_kept = 1,
                                 .denominator = WeightDenominator::kNone,
                                 .loss_scores = LossScores::kBiased});
  EXPECT_EQ(given, (RouterSpec{.experts = kExperts,
                               .k = 2,
                               .score = ScoreFunction::kSigmoid,
                               .groups = 4,
                               .groups_kept = 1,
                               .denominator = WeightDenominator::kNone,
                               .loss_scores = LossScores::kBiased}));
}

TEST_F(RouterOfALogitFile, TheBiasMayBeOfAnyPrecisionThatLogitsHave) {
  const std::vector<std::uint16_t> bf16(kLayers * kExperts, 0x3F00);
  const std::vector<std::uint16_t> f16(kLayers * kExperts, 0x3800);
  const std::vector<double> f64(kLayers * kExperts, 0.5);
  const std::vector<float> logits(kLayers * kExperts, 0.0F);
  for (const auto& [dtype, data] : {std::pair("BF16", std::as_bytes(std::span(bf16))),
                                    std::pair("F16", std::as_bytes(std::span(f16))),
                                    std::pair("F64", std::as_bytes(std::span(f64)))}) {
    SCOPED_TRACE(dtype);
    std::vector<float> varied = logits;
    for (std::size_t i = 0; i < varied.size(); ++i) varied[i] = static_cast<float>(i);
    write_safetensors(
        path_,
        std::vector<TensorView>{
            {.name = "router_logits",
             .dtype = "F32",
             .shape = {kLayers, 1, kExperts},
             .data = std::as_bytes(std::span(varied))},
            {.name = "selection_bias", .dtype = dtype, .shape = {kLayers, kExperts}, .data = data}},
        {{"k", "2"}});
    EXPECT_EQ(spec().selection_bias, std::vector<float>(16, 0.5F));
  }
}

TEST_F(RouterOfALogitFile, MustFitTheShapeItTells) {
  write({{"k", "2"}, {"layers", "3"}});
  expect_refused<FormatError>("__metadata__/layers: tells 3 layers, but router_logits holds 2");
  write({{"k", "2"}, {"experts", "16"}});
  expect_refused<FormatError>("__metadata__/experts: tells 16 experts, but router_logits holds 8");
  write({{"k", "9"}});
  expect_refused<FormatError>("__metadata__/k: 9 does not lie in 1..8");
}

TEST_F(RouterOfALogitFile, GroupsMustDivideTheExpertsAndHoldKOfThem) {
  write({{"k", "2"}, {"groups", "3"}, {"groups_kept", "1"}});
  expect_refused<FormatError>("__metadata__/groups: 3 does not divide the 8 experts");
  expect_refused<UsageError>("--groups: 5 does not divide the 8 experts", {.groups = 5});
  write({{"k", "2"}, {"groups", "4"}});
  expect_refused<FormatError>("__metadata__/groups: 4 groups, but not how many of them");
  expect_refused<UsageError>("--groups-kept: 5 does not lie in 1..4", {.groups_kept = 5});
  write({{"k", "5"}, {"groups", "4"}, {"groups_kept", "2"}});
  expect_refused<FormatError>("__metadata__/k: 5 is more than the 4 experts that 2 of 4 groups");
}

TEST_F(RouterOfALogitFile, TheBiasMustHaveAFiniteValueForEachExpertOfEachLayer) {
  write({{"k", "2"}}, std::vector<float>(kExperts, 0.0F), {kExperts});
  expect_refused<FormatError>("selection_bias: has shape [8], expected [2, 8]");
  write({{"k", "2"}}, std::vector<float>(kLayers * kExperts, 0.0F), {kExperts, kLayers});
  expect_refused<FormatError>("selection_bias: has shape [8, 2], expected [2, 8]");
  std::vector<float> bias(kLayers * kExperts, 0.0F);
  bias[11] = std::numeric_limits<float>::quiet_NaN();
  write({{"k", "2"}}, bias);
  expect_refused<FormatError>("selection_bias: element 11 is nan");
}

TEST_F(RouterOfALogitFile, UnknownNamesAreRefusedWithTheNearest) {
  write({{"k", "2"}, {"score_function", "sigmod"}});
  expect_refused<FormatError>(
      "__metadata__/score_function: \"sigmod\" is not one of softmax, sigmoid, sqrt_softplus; did "
      "you mean \"sigmoid\"?");
  write({{"k", "2"}, {"denominator", "nome"}});
  expect_refused<FormatError>(
      "__metadata__/denominator: \"nome\" is not one of picked, reference, none; did you mean "
      "\"none\"?");
}

TEST_F(RouterOfALogitFile, MixedScoreFunctionsAreRefused) {
  write({{"k", "2"}, {"score_function", "softmax,sigmoid"}});
  expect_refused<FormatError>(
      "__metadata__/score_function: \"softmax,sigmoid\" is not one of softmax, sigmoid, "
      "sqrt_softplus; layers that differ in it go into files of their own");
}

TEST_F(RouterOfALogitFile, NumbersThatAreNoneAreRefused) {
  for (const char* key : {"k", "groups", "groups_kept", "layers", "experts"}) {
    for (const char* text : {"", "two", "2x", "2.0", " 2", "99999999999"}) {
      SCOPED_TRACE(fmt::format("{} \"{}\"", key, text));
      Metadata metadata = {{"k", "2"}};
      metadata[key] = text;
      write(metadata);
      expect_refused<FormatError>(
          fmt::format("__metadata__/{}: \"{}\" is not a whole number", key, text));
    }
  }
  for (const char* text : {"", "2,5", "nan", "inf", "1e999", "2.5x"}) {
    SCOPED_TRACE(text);
    write({{"k", "2"}, {"routed_scale", text}});
    expect_refused<FormatError>(
        fmt::format("__metadata__/routed_scale: \"{}\" is no finite number", text));
  }
  write({{"k", "2"}, {"routed_scale", "-1"}});
  expect_refused<FormatError>("__metadata__/routed_scale: -1 is no positive number");
}

}  // namespace
}  // namespace thermoe
