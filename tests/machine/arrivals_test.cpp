// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

using Kind = ArrivalSpec::Kind;

std::vector<Request> drawn(const ArrivalSpec& spec, std::size_t requests) {
  Arrivals arrivals(spec);
  std::vector<Request> list;
  while (list.size() < requests) list.push_back(arrivals.next().value());
  return list;
}

/// Requests in each window of so many seconds.
std::vector<double> counts(const std::vector<Request>& requests, double window) {
  std::vector<double> in(static_cast<std::size_t>(requests.back().at.value / window), 0.0);
  for (const Request& r : requests) {
    const auto at = static_cast<std::size_t>(r.at.value / window);
    if (at < in.size()) in[at] += 1.0;
  }
  return in;
}

double mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

/// Variance over mean: 1 where arrivals do not know of one another.
double dispersion(const std::vector<double>& values) {
  const double m = mean(values);
  double squares = 0.0;
  for (const double v : values) squares += (v - m) * (v - m);
  return squares / static_cast<double>(values.size()) / m;
}

TEST(Arrivals, PoissonOnesComeAtTheirRateAndDoNotKnowOfOneAnother) {
  const auto requests = drawn({.rate_per_s = 3.0}, 60000);
  const auto in = counts(requests, 5.0);
  EXPECT_NEAR(mean(in), 15.0, 0.2);
  EXPECT_NEAR(dispersion(in), 1.0, 0.08);
}

TEST(Arrivals, BurstsKeepTheMeanRateAndCrowdTheirRequests) {
  const ArrivalSpec spec{.kind = Kind::kBursty, .rate_per_s = 3.0, .burst_factor = 4.0};
  const auto in = counts(drawn(spec, 300000), 5.0);
  EXPECT_NEAR(mean(in), 15.0, 0.6);
  EXPECT_GT(dispersion(in), 10.0);
}

TEST(Arrivals, ADayRisesAndFallsAroundItsMean) {
  const ArrivalSpec spec{
      .kind = Kind::kDayCycle, .rate_per_s = 5.0, .swing = 0.8, .day = Seconds(100.0)};
  const auto requests = drawn(spec, 100000);
  const double days = std::floor(requests.back().at.value / 100.0);
  std::vector<double> quarter(4, 0.0);
  for (const Request& r : requests) {
    if (r.at.value >= 100.0 * days) continue;
    quarter[static_cast<std::size_t>(std::fmod(r.at.value, 100.0) / 25.0)] += 1.0 / days;
  }
  // 1 + 0.8 sin over a quarter has the mean 1 +- 0.8 * 2 / pi.
  const double rise = 0.8 * 2.0 / 3.14159265;
  EXPECT_NEAR(quarter[0], 125.0 * (1 + rise), 4.0);
  EXPECT_NEAR(quarter[1], 125.0 * (1 + rise), 4.0);
  EXPECT_NEAR(quarter[2], 125.0 * (1 - rise), 4.0);
  EXPECT_NEAR(quarter[3], 125.0 * (1 - rise), 4.0);
}

TEST(Arrivals, AreTheSameForTheirSeedAndOthersForAnother) {
  for (const Kind kind : {Kind::kPoisson, Kind::kBursty, Kind::kDayCycle}) {
    const ArrivalSpec spec{.kind = kind, .tokens_out = {TokenLaw::Kind::kGeometric, 50.0}};
    ArrivalSpec other = spec;
    other.seed = 2;
    EXPECT_EQ(drawn(spec, 500), drawn(spec, 500));
    EXPECT_NE(drawn(spec, 500), drawn(other, 500));
  }
}

TEST(Arrivals, ComeAtTheSameTimesWhateverTheirTokens) {
  const auto fixed = drawn({}, 300);
  const auto varied = drawn({.tokens_out = {TokenLaw::Kind::kLogNormal, 100.0, 0.7}}, 300);
  for (std::size_t i = 0; i < fixed.size(); ++i) EXPECT_EQ(fixed[i].at, varied[i].at);
}

TEST(Arrivals, TokensHaveTheMeanOfTheirLaw) {
  for (const TokenLaw law :
       {TokenLaw{TokenLaw::Kind::kFixed, 256.0}, TokenLaw{TokenLaw::Kind::kGeometric, 256.0},
        TokenLaw{TokenLaw::Kind::kLogNormal, 256.0, 0.8}}) {
    double sum = 0.0, squares = 0.0;
    const auto requests = drawn({.tokens_in = {.mean = 1.0}, .tokens_out = law}, 40000);
    for (const Request& r : requests) {
      EXPECT_EQ(r.tokens_in, 1);
      ASSERT_GE(r.tokens_out, 1);
      sum += r.tokens_out, squares += std::pow(r.tokens_out, 2);
    }
    const double m = sum / 40000;
    const double deviation = std::sqrt(squares / 40000 - m * m);
    EXPECT_NEAR(m, 256.0, 5.0);
    const double expected = law.kind == TokenLaw::Kind::kFixed ? 0.0
                            : law.kind == TokenLaw::Kind::kGeometric
                                ? 255.5
                                : 256.0 * std::sqrt(std::expm1(0.64));
    EXPECT_NEAR(deviation, expected, 0.05 * expected);
  }
}

TEST(Arrivals, OfAnImpossibleSpecAreRefusedByTheFieldAtFault) {
  const auto refusal = [](const std::function<void(ArrivalSpec&)>& change) {
    ArrivalSpec spec{.kind = Kind::kBursty};
    change(spec);
    try {
      Arrivals arrivals(spec);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  using Text = testing::Message;
  const auto expect = [&](const char* field, const std::function<void(ArrivalSpec&)>& change) {
    EXPECT_NE(refusal(change).find(field), std::string::npos) << Text() << refusal(change);
  };
  EXPECT_EQ(refusal([](ArrivalSpec&) {}), "");
  expect("rate_per_s is 0", [](ArrivalSpec& s) { s.rate_per_s = 0.0; });
  expect("rate_per_s is nan", [](ArrivalSpec& s) { s.rate_per_s = std::nan(""); });
  expect("tokens_in is 0", [](ArrivalSpec& s) { s.tokens_in.mean = 0.0; });
  expect("tokens_out spread is -1", [](ArrivalSpec& s) { s.tokens_out.spread = -1.0; });
  expect("burst_share is 1", [](ArrivalSpec& s) { s.burst_share = 1.0; });
  expect("burst_factor is 5", [](ArrivalSpec& s) { s.burst_factor = 5.0; });
  expect("burst_s is 0", [](ArrivalSpec& s) { s.burst_length = Seconds(0); });
  expect("swing is 1.5", [](ArrivalSpec& s) { s.kind = Kind::kDayCycle, s.swing = 1.5; });
  expect("day_s is 0", [](ArrivalSpec& s) { s.kind = Kind::kDayCycle, s.day = Seconds(0); });
  expect("none is recorded", [](ArrivalSpec& s) { s.kind = Kind::kRecorded; });
}

class RecordedArrivals : public testing::Test {
 protected:
  std::string file(const std::string& text) const {
    std::ofstream(path_) << text;
    return path_;
  }
  std::string refusal(const std::string& text) const {
    try {
      read_arrivals(file(text));
    } catch (const FormatError& error) {
      EXPECT_EQ(error.path(), path_);
      return error.what();
    }
    return "";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string path_ = testing::TempDir() + "recorded_arrivals_test.csv";
};

TEST_F(RecordedArrivals, ComeAsTheyAreWrittenAndThenNoMore) {
  const auto recorded = read_arrivals(
      file("# from a log\ntime, tokens_in, tokens_out, user\n0,32,256,a\n0.5,1,2,b\n0.5,7,8,c"));
  const std::vector<Request> expected = {
      {Seconds(0), 32, 256}, {Seconds(0.5), 1, 2}, {Seconds(0.5), 7, 8}};
  EXPECT_EQ(recorded, expected);
  Arrivals arrivals({.kind = Kind::kRecorded, .recorded = recorded});
  for (const Request& r : expected) EXPECT_EQ(arrivals.next(), r);
  EXPECT_EQ(arrivals.next(), std::nullopt);
}

TEST_F(RecordedArrivals, ThatAreNoneAreRefusedByLineColumnAndValue) {
  const std::string head = "time,tokens_in,tokens_out\n";
  const auto expect = [&](const std::string& text, const std::vector<std::string>& parts) {
    const std::string said = refusal(text);
    for (const std::string& part : parts) {
      EXPECT_NE(said.find(part), std::string::npos) << "'" << said << "' lacks " << part;
    }
  };
  expect(head + "1,2,3\n0.5,2,3\n", {"line 3", "time", "\"0.5\"", "sort the rows"});
  expect(head + "-1,2,3\n", {"line 2", "time", "\"-1\"", "within [0, 1e9]"});
  expect(head + "nan,2,3\n", {"line 2", "time", "nan", "finite"});
  expect(head + "inf,2,3\n", {"line 2", "time", "inf", "finite"});
  expect(head + ",2,3\n", {"line 2", "time", "finite"});
  expect(head + "soon,2,3\n", {"line 2", "time", "soon", "not a number"});
  expect(head + "1,0,3\n", {"line 2", "tokens_in", "\"0\"", "whole number"});
  expect(head + "1,2,0\n", {"line 2", "tokens_out", "\"0\""});
  expect(head + "1,2,-3\n", {"line 2", "tokens_out", "\"-3\""});
  expect(head + "1,2,2.5\n", {"line 2", "tokens_out", "\"2.5\""});
  expect(head + "1,2,1e12\n", {"line 2", "tokens_out", "\"1e12\""});
  expect(head + "1,2\n", {"line 2"});
  expect(head, {"has no row"});
  expect("", {"no header"});
  expect("time,tokens_in\n1,2\n", {"has no column tokens_out"});
}

}  // namespace
}  // namespace thermoe
