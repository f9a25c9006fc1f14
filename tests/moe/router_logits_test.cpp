// SPDX-License-Identifier: Apache-2.0
#include "moe/router_logits.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

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
  void expect_refused(const std::string& word, std::optional<int> k = {}) {
    try {
      read_router_logits(path_, k);
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
  RouterLogits logits{.k = 2};
  for (int s = 0; s < 3; ++s) {
    logits.samples.push_back({.layers = 2, .tokens = 3, .experts = 4, .logits = counted(24)});
    logits.samples.back().logits[5] = static_cast<float>(s);
  }
  write_router_logits(path_, logits);
  const RouterLogits read = read_router_logits(path_);
  EXPECT_EQ(read.k, 2);
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
  EXPECT_EQ(read_router_logits(write({1, 3, 4}, counted(12), {{"k", "2"}}), 3).k, 3);
}

TEST_F(RouterLogitsFile, RefusesAMissingK) {
  write({1, 3, 4}, counted(12), {});
  expect_refused<UsageError>("--k");
}

TEST_F(RouterLogitsFile, RefusesAKThatIsNoNumberOrBeyondTheExperts) {
  write({1, 3, 4}, counted(12), {{"k", "2x"}});
  expect_refused<FormatError>("\"2x\" is not a whole number");
  write({1, 3, 4}, counted(12), {{"k", "5"}});
  expect_refused<UsageError>("k = 5 does not lie in 1..4");
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

TEST_F(RouterLogitsFile, RefusesARouterWhoseScoresAreNotASoftmax) {
  write({1, 3, 4}, counted(12), {{"k", "2"}, {"score_function", "sigmoid"}});
  expect_refused<FormatError>("sigmoid");
}

TEST_F(RouterLogitsFile, RefusesLogitsThatAreNotFinite) {
  auto values = counted(12);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  write({1, 3, 4}, values, {{"k", "2"}});
  expect_refused<FormatError>("router_logits");
}

}  // namespace
}  // namespace thermoe
