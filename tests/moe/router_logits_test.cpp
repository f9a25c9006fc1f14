// SPDX-License-Identifier: Apache-2.0
#include "moe/router_logits.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <random>

#include "core/errors.h"
#include "moe/safetensors.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Property;

class RouterLogitsFile : public ::testing::Test {
 protected:
  std::string write(const std::vector<std::int64_t>& shape, const std::vector<float>& values,
                    const std::map<std::string, std::string>& metadata,
                    const std::string& name = "router_logits") {
    const TensorView tensor{
        .name = name, .dtype = "F32", .shape = shape, .data = std::as_bytes(std::span(values))};
    write_safetensors(path_, {&tensor, 1}, metadata);
    return path_;
  }
  template <class E>
  void expect_refused(const std::string& word, const StatedRouter& given = {}) {
    try {
      read_router_logits(path_, given);
      FAIL() << "was accepted";
    } catch (const E& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("logits.safetensors");
};

std::vector<float> counted(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = 0.25F * static_cast<float>(i);
  return values;
}

TEST_F(RouterLogitsFile, ComesBackAsWritten) {
  RouterLogits logits{.spec = {.experts = 4, .k = 2}};
  for (int s = 0; s < 3; ++s) {
    logits.samples.push_back({.layers = 2, .tokens = 3, .experts = 4, .logits = counted(24)});
    logits.samples.back().logits[5] = static_cast<float>(s);
  }
  write_router_logits(path_, logits);
  const RouterLogits read = read_router_logits(path_);
  EXPECT_EQ(read.spec.k, 2);
  ASSERT_EQ(read.samples.size(), 3U);
  for (int s = 0; s < 3; ++s) {
    EXPECT_EQ(read.samples[s].layers, 2);
    EXPECT_EQ(read.samples[s].tokens, 3);
    EXPECT_EQ(read.samples[s].experts, 4);
    EXPECT_EQ(read.samples[s].logits, logits.samples[s].logits);
  }
}

TEST_F(RouterLogitsFile, ThreeDimensionsAreOneSample) {
  const RouterLogits read = read_router_logits(write({2, 3, 4}, counted(24), {{"k", "2"}}));
  ASSERT_EQ(read.samples.size(), 1U);
  EXPECT_EQ(read.samples[0].layer(1)[0], 3.0F);
}

TEST_F(RouterLogitsFile, AKGivenByTheCallerWins) {
  EXPECT_EQ(read_router_logits(write({1, 3, 4}, counted(12), {{"k", "2"}}), {.k = 3}).spec.k, 3);
}

TEST_F(RouterLogitsFile, RefusesAMissingK) {
  write({1, 3, 4}, counted(12), {});
  expect_refused<UsageError>("--k");
}

TEST_F(RouterLogitsFile, RefusesAKThatIsNoNumberOrBeyondTheExperts) {
  write({1, 3, 4}, counted(12), {{"k", "2x"}});
  expect_refused<FormatError>("\"2x\" is not a whole number");
  write({1, 3, 4}, counted(12), {{"k", "5"}});
  expect_refused<FormatError>("__metadata__/k: 5 does not lie in 1..4");
  expect_refused<UsageError>("--k: 6 does not lie in 1..4", {.k = 6});
}

TEST_F(RouterLogitsFile, RefusesOtherShapesAndNames) {
  write({3, 4}, counted(12), {{"k", "2"}});
  expect_refused<FormatError>("[samples, layers, tokens, experts]");
  write({1, 1, 1025}, counted(1025), {{"k", "2"}});
  expect_refused<FormatError>("at most 1024 experts");
  write({0, 3, 4}, {}, {{"k", "2"}});
  expect_refused<FormatError>("[0, 3, 4]");
  write({1, 3, 4}, counted(12), {{"k", "2"}}, "logits");
  expect_refused<FormatError>("router_logits");
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> softmax_rows(std::vector<float> values, std::size_t experts) {
  for (std::size_t first = 0; first < values.size(); first += experts) {
    const auto row = std::span(values).subspan(first, experts);
    float sum = 0.0F;
    for (float& x : row) sum += x = std::exp(x);
    for (float& x : row) x /= sum;
  }
  return values;
}

/// Logits without a pattern, [rows, experts].
std::vector<float> random_logits(std::size_t rows, std::size_t experts, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * experts);
  for (float& x : values) x = normal(random);
  return values;
}

TEST_F(RouterLogitsFile, RefusesProbabilitiesAndNamesTheRemedy) {
  write({2, 3, 4, 16}, softmax_rows(random_logits(24, 16), 16), {{"k", "4"}});
  expect_refused<FormatError>("router_logits: layer 0: rows are >= 0 and sum to 1");
  expect_refused<FormatError>("write the logits before softmax, or the probabilities' logarithm");
}

TEST_F(RouterLogitsFile, RefusesProbabilitiesOfOneLayerAmongLogits) {
  std::vector<float> values = random_logits(6, 16);
  const auto layer = softmax_rows({values.begin() + 48, values.end()}, 16);
  std::ranges::copy(layer, values.begin() + 48);
  write({2, 3, 16}, values, {{"k", "4"}});
  expect_refused<FormatError>("layer 1: rows are >= 0 and sum to 1");
}

TEST_F(RouterLogitsFile, RefusesRoundedProbabilities) {
  const std::vector<float> exact = softmax_rows(random_logits(8, 256), 256);
  std::vector<std::uint16_t> bf16;
  for (const float x : exact) {
    bf16.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U));
  }
  const TensorView tensor{.name = "router_logits",
                          .dtype = "BF16",
                          .shape = {1, 8, 256},
                          .data = std::as_bytes(std::span(bf16))};
  write_safetensors(path_, {&tensor, 1}, {{"k", "8"}});
  expect_refused<FormatError>("these are probabilities");
}

TEST_F(RouterLogitsFile, RefusesTheProbabilitiesOfChosenExpertsOnly) {
  for (const float scale : {1.0F, 0.8F, 2.5F}) {  // renormalised, as they were, scaled for the sum
    SCOPED_TRACE(scale);
    std::vector<float> values(5 * 16, 0.0F);
    for (std::size_t row = 0; row < 5; ++row) {
      values[row * 16 + row] = 0.75F * scale;
      values[row * 16 + 10] = 0.25F * scale;
    }
    write({1, 5, 16}, values, {{"k", "2"}});
    expect_refused<FormatError>("probabilities of the chosen experts");
  }
}

TEST_F(RouterLogitsFile, RefusesProbabilitiesInPercent) {
  std::vector<float> values = softmax_rows(random_logits(6, 16), 16);
  for (float& x : values) x *= 100.0F;
  write({2, 3, 16}, values, {{"k", "4"}});
  expect_refused<FormatError>("all sum to 100: these look like probabilities");
}

TEST_F(RouterLogitsFile, OneTokenAgainAndAgainHasOneSumAndIsLogits) {
  std::vector<float> values;
  for (int row = 0; row < 6; ++row) {
    for (int e = 0; e < 16; ++e) values.push_back(static_cast<float>(e));
  }
  EXPECT_FALSE(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).look_like_scores);
}

TEST_F(RouterLogitsFile, SigmoidsLookLikeScores) {
  std::vector<float> values = random_logits(6, 16);
  EXPECT_FALSE(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).look_like_scores);
  for (float& x : values) x = 1.0F / (1.0F + std::exp(-x));
  EXPECT_TRUE(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).look_like_scores);
  std::fill(values.end() - 32, values.end(), 0.0F);  // with padding, too
  values[values.size() - 33] = 0.5F;
  EXPECT_TRUE(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).look_like_scores);
}

TEST_F(RouterLogitsFile, TheLogarithmOfProbabilitiesIsLogits) {
  std::vector<float> values = softmax_rows(random_logits(6, 16), 16);
  for (float& x : values) x = std::log(x);
  EXPECT_EQ(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).samples.size(), 1U);
}

TEST_F(RouterLogitsFile, PositiveLogitsAreNoProbabilities) {
  std::vector<float> values = random_logits(6, 16);
  for (float& x : values) x += 10.0F;
  EXPECT_EQ(read_router_logits(write({2, 3, 16}, values, {{"k", "4"}})).padding_tokens, 0);
}

TEST_F(RouterLogitsFile, TokensThatAreConstantInEveryLayerArePaddingAndTakenOut) {
  std::vector<float> values = random_logits(2 * 2 * 3, 16);  // [samples, layers, tokens]
  const auto fill = [&](int sample, int layer, int token, float value) {
    const auto row = static_cast<std::size_t>((sample * 2 + layer) * 3 + token);
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(row) * 16, 16, value);
  };
  fill(1, 0, 1, 0.0F);
  fill(1, 1, 1, 2.5F);
  fill(0, 1, 2, 0.0F);  // this token is routed in layer 0: a row of its own kind, but a token
  const RouterLogits read = read_router_logits(write({2, 2, 3, 16}, values, {{"k", "4"}}));
  EXPECT_EQ(read.padding_tokens, 1);
  EXPECT_EQ(read.constant_rows, 1);
  ASSERT_EQ(read.samples.size(), 2U);
  EXPECT_EQ(read.samples[0].tokens, 3);
  ASSERT_EQ(read.samples[1].tokens, 2);
  EXPECT_EQ(read.samples[1].logits.size(), 2U * 2U * 16U);
  const std::size_t last_row = ((1 * 2 + 1) * 3 + 2) * 16;
  EXPECT_EQ(read.samples[1].layer(1)[16], values[last_row]) << "the tokens after it move up";
}

TEST_F(RouterLogitsFile, ASampleOfPaddingOnlyIsLeftOut) {
  std::vector<float> values = random_logits(4, 16);
  std::fill_n(values.begin(), 32, 0.0F);
  const RouterLogits read = read_router_logits(write({2, 1, 2, 16}, values, {{"k", "4"}}));
  EXPECT_EQ(read.samples.size(), 1U);
  EXPECT_EQ(read.padding_tokens, 2);
}

TEST_F(RouterLogitsFile, RefusesALayerOfConstantRows) {
  std::vector<float> values = random_logits(6, 16);
  std::fill_n(values.begin() + 48, 48, 0.0F);
  write({2, 3, 16}, values, {{"k", "4"}});
  expect_refused<FormatError>("layer 1: every row is constant");
}

TEST_F(RouterLogitsFile, MinusInfinityStaysWhileKFiniteLogitsRemain) {
  std::vector<float> values = random_logits(6, 16);
  values[16] = -kInfinity;
  const RouterLogits read = read_router_logits(write({2, 3, 16}, values, {{"k", "15"}}));
  EXPECT_EQ(read.samples[0].logits, values);
  expect_refused<FormatError>("sample 0, layer 0, token 1: has 15 finite logits, top-16 needs 16",
                              {.k = 16});
}

TEST_F(RouterLogitsFile, RefusesNanAndPlusInfinityByRow) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    std::vector<float> values = random_logits(6, 16);
    values[4 * 16 + 7] = bad;
    write({2, 3, 16}, values, {{"k", "4"}});
    expect_refused<FormatError>(
        fmt::format("router_logits: sample 0, layer 1, token 1: is {} at expert 7", bad));
  }
}

TEST_F(RouterLogitsFile, RefusesLogitsWhoseScoresAreNoneInFloat) {
  write({1, 1, 4}, {-200.5F, -200.0F, -201.0F, -206.0F},
        {{"k", "2"}, {"score_function", "sigmoid"}});
  expect_refused<FormatError>("token 0: the sigmoid of -200.5, its best logit number 2, is 0");
  expect_refused<FormatError>("sqrt_softplus of -206, its best logit number 4",
                              {.k = 4, .score = ScoreFunction::kSqrtSoftplus});
  EXPECT_EQ(read_router_logits(path_, {.score = ScoreFunction::kSoftmax}).spec.k, 2);
  write({1, 1, 4}, {1e30F, 2e30F, -1e30F, 0.0F}, {{"k", "2"}});
  expect_refused<FormatError>("the softmax of 1e+30, its best logit number 2, is 0");
}

TEST_F(RouterLogitsFile, RefusesLogitsThatTheScoreFunctionCannotTellApart) {
  write({1, 1, 4}, {102.0F, 102.5F, 101.0F, 98.0F}, {{"k", "2"}, {"score_function", "sigmoid"}});
  expect_refused<FormatError>("the sigmoid of 102.5 and of 101, its best logit and number 3");
  EXPECT_EQ(read_router_logits(path_, {.k = 4}).spec.k, 4) << "nothing to choose: all run";
}

TEST_F(RouterLogitsFile, LogitsThatRoundToOneScoreAreNear) {
  write({1, 1, 4}, {20.0F, 20.5F, 19.75F, -30.0F}, {{"k", "2"}, {"score_function", "sigmoid"}});
  EXPECT_EQ(read_router_logits(path_).spec.k, 2);
}

TEST_F(RouterLogitsFile, HalfAndDoublePrecisionAreRead) {
  const std::vector<std::uint16_t> half = {0x3C00, 0xC200, 0x7BFF, 0x0001};  // 1, -3, 65504, 2^-24
  const std::vector<double> wide = {1.0, -3.0, 65504.0, 0.1};
  for (const bool doubles : {false, true}) {
    const TensorView tensor{
        .name = "router_logits",
        .dtype = doubles ? "F64" : "F16",
        .shape = {1, 1, 4},
        .data = doubles ? std::as_bytes(std::span(wide)) : std::as_bytes(std::span(half))};
    write_safetensors(path_, {&tensor, 1}, {{"k", "1"}});
    const auto logits = read_router_logits(path_).samples[0].logits;
    EXPECT_THAT(std::vector(logits.begin(), logits.begin() + 3),
                testing::ElementsAre(1.0F, -3.0F, 65504.0F));
  }
}

}  // namespace
}  // namespace thermoe
