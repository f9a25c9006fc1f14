// SPDX-License-Identifier: Apache-2.0
// Plain routing by the backend triton against the float64 oracle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "captured_graph.h"
#include "device_copy.h"
#include "kernels/triton/backends.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;

class TritonTopkRoute : public ::testing::Test {
  void SetUp() override {
    if (const auto problem = backend_problem(Backend::kTriton)) GTEST_SKIP() << *problem;
    triton::prepare();
  }
};

struct Picks {
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
  bool operator==(const Picks&) const = default;
};

template <class T>
std::vector<T> values_of(const Poisoned& memory) {
  const std::vector<std::byte> bytes = memory.bytes();
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// A problem's logits on the device, and its outputs.
class OnDevice {
 public:
  explicit OnDevice(const RouteProblem& problem)
      : logits_(copy_logits(problem)),
        beta_(on_device(std::span(problem.model_bias))),
        expert_(4 * cells(problem)),
        weight_(4 * cells(problem)),
        args_{.tokens = problem.tokens,
              .router = {problem.router(),
                         problem.model_bias.empty() ? nullptr : beta_.as<const float>()},
              .expert = reinterpret_cast<std::int32_t*>(expert_.data()),
              .weight = reinterpret_cast<float*>(weight_.data()),
              .slots = problem.slots()} {
    args_.logits.data = logits_.data();
    args_.logits.type = problem.type;
  }

  void run(Stream stream) const { topk_route(Backend::kTriton, args_, stream); }
  void poison() { expert_.poison(), weight_.poison(); }
  Picks picks() const { return {values_of<std::int32_t>(expert_), values_of<float>(weight_)}; }

 private:
  static std::size_t cells(const RouteProblem& problem) {
    return static_cast<std::size_t>(problem.tokens) * static_cast<std::size_t>(problem.slots());
  }
  static DeviceMemory copy_logits(const RouteProblem& problem) {
    if (problem.type == FloatType::kF32) return on_device(std::span(problem.logits));
    std::vector<std::uint16_t> bits;
    for (const float x : problem.logits) bits.push_back(narrowed(x, problem.type));
    return on_device(std::span(std::as_const(bits)));
  }

  DeviceMemory logits_;
  DeviceMemory beta_;
  Poisoned expert_;
  Poisoned weight_;
  TopkRouteArgs args_;
};

Picks route_plainly(const RouteProblem& problem) {
  const OnDevice device(problem);
  device.run(Stream{nullptr});
  return device.picks();
}

/// Ids, but of tokens whose decisions are closer than rounding, and weights.
void expect_matches_oracle(const RouteProblem& problem, int& skipped) {
  const RouteOracle oracle = route_oracle(problem);
  const Picks picks = route_plainly(problem);
  for (int t = 0; t < problem.tokens; ++t) {
    if (oracle.margin[t] < kRounding) {
      ++skipped;
      continue;
    }
    for (int i = 0; i < problem.slots(); ++i) {
      const auto at = static_cast<std::size_t>(t) * problem.slots() + i;
      const bool used = i < static_cast<int>(oracle.picks[t].size());
      ASSERT_EQ(picks.expert[at], used ? oracle.picks[t][i] : -1) << "token " << t << " slot " << i;
      const double weight = used ? oracle.weight[t][i] : 0.0;
      ASSERT_NEAR(picks.weight[at], weight, 2e-6 * std::max(1.0, weight)) << "token " << t;
    }
  }
}

RouteProblem plain(int tokens, int experts, int turn, std::mt19937& random) {
  RouteProblem problem{.tokens = tokens, .experts = experts, .k = std::min(1 + turn % 10, experts)};
  problem.score = static_cast<ScoreFunction>(turn % 3);
  problem.type = static_cast<FloatType>(turn / 3 % 3);
  problem.denominator = static_cast<WeightDenominator>(turn / 2 % 3);
  problem.scale = turn % 5 == 0 ? 2.5 : 1.0;
  fill_logits(problem, random, turn % 4 == 0);
  if (turn % 2 == 1) {
    for (int e = 0; e < experts; ++e) {
      problem.model_bias.push_back(static_cast<float>(pick(random, -8, 8)) / 128.0F);
    }
  }
  if (turn % 7 == 3) {
    for (float& x : problem.logits) {
      if (random() % 10 == 0) x = std::numeric_limits<float>::quiet_NaN();
      if (random() % 10 == 0) x = -std::numeric_limits<float>::infinity();
    }
  }
  return problem;
}

TEST_F(TritonTopkRoute, EverySizeOfPlainRouterMatchesTheOracle) {
  std::mt19937 random(11);
  int turn = 0;
  int tokens = 0;
  int skipped = 0;
  for (const int t : {0, 1, 16, 17, 64, 700}) {
    for (const int e : {1, 8, 60, 96, 128, 160, 256, 384, 512, 1024}) {
      for (int kind = 0; kind < 5; ++kind) {
        SCOPED_TRACE(testing::Message() << t << " tokens, " << e << " experts, turn " << turn);
        expect_matches_oracle(plain(t, e, turn++, random), skipped);
        if (HasFatalFailure()) return;
        tokens += t;
      }
    }
  }
  EXPECT_LT(skipped, tokens / 50);
}

TEST_F(TritonTopkRoute, TiesInfinitiesAndNanGoWhereTheCpuPutsThem) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto one = [](std::vector<float> logits, int k) {
    const auto experts = static_cast<int>(logits.size());
    return route_plainly({.tokens = 1, .experts = experts, .k = k, .logits = std::move(logits)});
  };
  EXPECT_THAT(one(std::vector<float>(40, 0.5F), 3).expert, ElementsAre(0, 1, 2));
  EXPECT_THAT(one({-1.0F, -0.0F, 0.0F, -0.0F}, 3).expert, ElementsAre(1, 2, 3));
  EXPECT_THAT(one({1.0F, kNan, 3.0F, kNan}, 3).expert, ElementsAre(2, 0, -1));
  EXPECT_THAT(one({kNan, kNan}, 2), testing::Field(&Picks::weight, ElementsAre(0.0F, 0.0F)));
  EXPECT_THAT(one({5, kInf, 7, kInf, 2}, 3).weight, ElementsAre(0.5F, 0.5F, 0.0F));
  EXPECT_THAT(one({-kInf, 1, -kInf}, 2).expert, ElementsAre(1, 0));
  EXPECT_THAT(one({-kInf, -kInf, -kInf}, 2).weight, ElementsAre(0.5F, 0.5F));
}

TEST_F(TritonTopkRoute, ACapturedGraphRepeatsEagerCallsBitForBit) {
  std::mt19937 random(12);
  const RouteProblem problem = plain(64, 128, 7, random);
  const Picks eager = route_plainly(problem);
  OnDevice device(problem);
  const CapturedGraph graph([&](Stream stream) { device.run(stream); });
  for (int i = 0; i < 3; ++i) {
    device.poison();
    graph.replay();
    EXPECT_EQ(device.picks(), eager);
  }
}

}  // namespace
}  // namespace thermoe
