// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <functional>

#include "permute_combine_problem.h"

namespace thermoe {
namespace {

constexpr FloatType kTypes[] = {FloatType::kF32, FloatType::kBf16};

/// Half a step of what the type tells apart near `value`, and room for a sum's roundings.
double tolerance(FloatType type, double value) {
  return 1e-6 + std::abs(value) * (type == FloatType::kF32 ? 0x1p-20 : 0x1p-8);
}

void for_each_result(
    Backend backend,
    const std::function<void(const PermuteProblem&, FloatType, const PermuteResult&)>& check) {
  for (const FloatType type : kTypes) {
    for (const PermuteShape& s : permute_shapes()) {
      SCOPED_TRACE(::testing::Message()
                   << s.tokens << " tokens, " << s.slots << " slots, " << s.experts
                   << " experts, width " << s.width << (type == FloatType::kF32 ? "" : ", bf16"));
      const PermuteProblem problem(s);
      check(problem, type, run_permute_combine(backend, problem, type));
    }
  }
}

/// Each filled slot's place in the order, -1 for an empty one, by counting who comes before.
std::vector<std::int32_t> places(const PermuteProblem& p) {
  std::vector<std::int32_t> place(p.expert.size(), -1);
  std::int32_t next = 0;
  for (int e = 0; e < p.shape.experts; ++e) {
    for (std::size_t i = 0; i < p.expert.size(); ++i) {
      if (p.expert[i] == e) place[i] = next++;
    }
  }
  return place;
}

TEST_P(PermuteCombineTest, PicksAreSortedByExpertAndKeepTheirOrder) {
  for_each_result(GetParam(), [](const PermuteProblem& p, FloatType, const PermuteResult& result) {
    const std::vector<std::int32_t> place = places(p);
    std::vector<std::int32_t> first(p.shape.experts + 1);
    for (std::size_t i = 0; i < place.size(); ++i) {
      if (place[i] < 0) continue;
      ++first[p.expert[i] + 1];
      ASSERT_EQ(result.pair.at(place[i]), static_cast<std::int32_t>(i));
    }
    for (int e = 0; e < p.shape.experts; ++e) first[e + 1] += first[e];
    EXPECT_EQ(result.first, first);
  });
}

TEST_P(PermuteCombineTest, EachPickGetsItsTokensRowAndRowsWithoutPicksAreZeros) {
  for_each_result(GetParam(), [](const PermuteProblem& p, FloatType, const PermuteResult& result) {
    const auto width = static_cast<std::size_t>(p.shape.width);
    const std::vector<std::int32_t> place = places(p);
    EXPECT_EQ(result.row, place);
    std::vector<float> expected(p.rows.size());
    for (std::size_t i = 0; i < place.size(); ++i) {
      if (place[i] < 0) continue;
      std::copy_n(p.x.begin() + static_cast<std::ptrdiff_t>(i / p.shape.slots * width), width,
                  expected.begin() + static_cast<std::ptrdiff_t>(place[i] * width));
    }
    EXPECT_EQ(result.permuted, expected);
  });
}

TEST_P(PermuteCombineTest, ATokenGetsItsRowsByTheirWeights) {
  for_each_result(GetParam(),
                  [](const PermuteProblem& p, FloatType type, const PermuteResult& result) {
                    const auto width = static_cast<std::size_t>(p.shape.width);
                    const std::vector<std::int32_t> place = places(p);
                    std::vector<double> expected(p.x.size());
                    for (std::size_t i = 0; i < place.size(); ++i) {
                      for (std::size_t c = 0; place[i] >= 0 && c < width; ++c) {
                        expected[i / p.shape.slots * width + c] +=
                            static_cast<double>(p.weight[i]) * p.rows[place[i] * width + c];
                      }
                    }
                    for (std::size_t i = 0; i < expected.size(); ++i) {
                      ASSERT_NEAR(result.combined[i], expected[i], tolerance(type, expected[i]));
                    }
                  });
}

TEST_P(PermuteCombineTest, GradientsReachRowsWeightsAndTokens) {
  for_each_result(GetParam(),
                  [](const PermuteProblem& p, FloatType type, const PermuteResult& result) {
                    const auto width = static_cast<std::size_t>(p.shape.width);
                    const std::vector<std::int32_t> place = places(p);
                    std::vector<double> grad_rows(p.rows.size());
                    std::vector<double> grad_x(p.x.size());
                    for (std::size_t i = 0; i < place.size(); ++i) {
                      double dot = 0.0;
                      double size = 0.0;
                      for (std::size_t c = 0; place[i] >= 0 && c < width; ++c) {
                        const std::size_t at = place[i] * width + c;
                        const std::size_t token = i / p.shape.slots * width + c;
                        dot += static_cast<double>(p.rows[at]) * p.grad_out[token];
                        size += std::abs(static_cast<double>(p.rows[at]) * p.grad_out[token]);
                        grad_rows[at] = static_cast<double>(p.weight[i]) * p.grad_out[token];
                        grad_x[token] += result.grad_rows[at];  // as the op read them
                      }
                      ASSERT_NEAR(result.grad_weight[i], dot, 1e-6 * (1.0 + size));
                    }
                    for (std::size_t i = 0; i < grad_rows.size(); ++i) {
                      ASSERT_NEAR(result.grad_rows[i], grad_rows[i], tolerance(type, grad_rows[i]));
                    }
                    for (std::size_t i = 0; i < grad_x.size(); ++i) {
                      ASSERT_NEAR(result.grad_x[i], grad_x[i], tolerance(type, grad_x[i]));
                    }
                  });
}

/// sum of combined * grad_out: what combine_backward's gradients are of.
double loss(Backend backend, const PermuteProblem& p) {
  const PermuteResult result = run_permute_combine(backend, p, FloatType::kF32);
  double sum = 0.0;
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    sum += static_cast<double>(result.combined[i]) * p.grad_out[i];
  }
  return sum;
}

TEST_P(PermuteCombineTest, GradientsAreFiniteDifferencesOfTheForward) {
  const PermuteProblem p({.tokens = 5, .slots = 3, .experts = 4, .width = 6});
  const PermuteResult result = run_permute_combine(GetParam(), p, FloatType::kF32);
  const double at = loss(GetParam(), p);
  for (std::size_t i = 0; i < p.weight.size(); ++i) {
    PermuteProblem moved = p;
    moved.weight[i] += 1.0F;  // the forward is linear in it
    EXPECT_NEAR(result.grad_weight[i], p.expert[i] < 0 ? 0.0 : loss(GetParam(), moved) - at, 1e-3);
  }
  for (std::size_t i = 0; i < p.rows.size(); ++i) {
    PermuteProblem moved = p;
    moved.rows[i] += 1.0F;
    EXPECT_NEAR(result.grad_rows[i], loss(GetParam(), moved) - at, 1e-3);
  }
}

TEST_P(PermuteCombineTest, TokensWithoutPicksGetZeros) {
  PermuteProblem p({.tokens = 9, .slots = 2, .experts = 4, .width = 24});
  std::fill(p.expert.begin(), p.expert.end(), -1);
  for (const FloatType type : kTypes) {
    const PermuteResult result = run_permute_combine(GetParam(), p, type);
    EXPECT_EQ(result.first, std::vector<std::int32_t>(5, 0));
    EXPECT_EQ(result.combined, std::vector<float>(p.x.size(), 0.0F));
    EXPECT_EQ(result.permuted, std::vector<float>(p.rows.size(), 0.0F));
    EXPECT_EQ(result.grad_rows, std::vector<float>(p.rows.size(), 0.0F));
    EXPECT_EQ(result.grad_weight, std::vector<float>(p.weight.size(), 0.0F));
    EXPECT_EQ(result.grad_x, std::vector<float>(p.x.size(), 0.0F));
  }
}

}  // namespace
}  // namespace thermoe
