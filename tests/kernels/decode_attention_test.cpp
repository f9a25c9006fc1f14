// SPDX-License-Identifier: Apache-2.0
#include "kernels/decode_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/errors.h"
#include "kernel_backend.h"
#include "kernels/aligned_vector.h"

namespace thermoe {
namespace {

class DecodeAttentionTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(DecodeAttention, DecodeAttentionTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

/// A problem that owns its memory, random unless a test sets it.
struct Problem {
  explicit Problem(const KvLayout& l) : layout(l), stride(l.heads * l.head_dim + 5) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    const auto fill = [&](auto& v, std::size_t n) {
      v.resize(n);
      for (float& x : v) x = normal(random);
    };
    fill(query, static_cast<std::size_t>(l.streams) * stride);
    fill(keys, l.keys());
    fill(values, l.values());
    positions.assign(l.streams, 0);
  }
  float& key(int stream, int head, int position, int i) {
    const std::size_t block =
        (static_cast<std::size_t>(stream) * layout.heads + head) * layout.blocks() + position / 16;
    return keys[(block * layout.head_dim + i) * 16 + position % 16];
  }
  float& value(int stream, int head, int position, int i) {
    const std::size_t row =
        (static_cast<std::size_t>(stream) * layout.heads + head) * layout.context + position;
    return values[row * layout.value_stride() + i];
  }
  DecodeAttentionArgs args() {
    scratch.assign(layout.scratch(), -77.0F);
    out.assign(static_cast<std::size_t>(layout.streams) * layout.heads * layout.head_dim, -77.0F);
    return {.layout = layout,
            .query = query.data(),
            .query_stride = stride,
            .keys = keys.data(),
            .values = values.data(),
            .positions = positions,
            .scratch = scratch,
            .out = out.data()};
  }
  std::vector<double> expected(int stream, int head) {
    const int hd = layout.head_dim;
    const float* q = query.data() + static_cast<std::ptrdiff_t>(stream) * stride + head * hd;
    std::vector<double> weights;
    double total = 0.0;
    for (int p = 0; p <= positions[stream]; ++p) {
      double score = 0.0;
      for (int i = 0; i < hd; ++i) score += q[i] * double{key(stream, head, p, i)};
      weights.push_back(std::exp(score / std::sqrt(hd)));
      total += weights.back();
    }
    std::vector<double> mean(hd);
    for (int p = 0; p <= positions[stream]; ++p) {
      for (int i = 0; i < hd; ++i)
        mean[i] += weights[p] / total * double{value(stream, head, p, i)};
    }
    return mean;
  }

  KvLayout layout;
  int stride;
  std::vector<float> query{};
  AlignedVector<float> keys{};
  AlignedVector<float> values{};
  std::vector<int> positions{};
  std::vector<float> scratch{};
  std::vector<float> out{};
};

TEST_P(DecodeAttentionTest, EachStreamAttendsToItsOwnPositionsAndNoFurther) {
  for (const int head_dim : {6, 32, 40}) {
    Problem problem({.streams = 5, .heads = 2, .head_dim = head_dim, .context = 37});
    problem.positions = {0, 14, 15, 16, 36};
    GetParam().decode_attention(problem.args());
    for (int b = 0; b < 5; ++b) {
      for (int h = 0; h < 2; ++h) {
        const auto expected = problem.expected(b, h);
        for (int i = 0; i < head_dim; ++i) {
          ASSERT_NEAR(problem.out[(b * 2 + h) * head_dim + i], expected[i], 2e-6)
              << "stream " << b << " head " << h;
        }
      }
    }
  }
}

TEST_P(DecodeAttentionTest, AStreamDoesNotDependOnItsNeighbours) {
  Problem together({.streams = 3, .heads = 2, .head_dim = 32, .context = 20});
  together.positions = {3, 17, 9};
  GetParam().decode_attention(together.args());
  Problem alone({.streams = 1, .heads = 2, .head_dim = 32, .context = 20});
  const std::size_t keys = alone.layout.keys();
  const std::size_t values = alone.layout.values();
  std::copy_n(together.keys.begin() + keys, keys, alone.keys.begin());
  std::copy_n(together.values.begin() + values, values, alone.values.begin());
  std::copy_n(together.query.begin() + together.stride, alone.stride, alone.query.begin());
  alone.positions = {17};
  GetParam().decode_attention(alone.args());
  EXPECT_TRUE(std::equal(alone.out.begin(), alone.out.end(), together.out.begin() + 64));
}

TEST_P(DecodeAttentionTest, SurvivesScoresThatWouldOverflowExp) {
  Problem problem({.streams = 1, .heads = 1, .head_dim = 2, .context = 3});
  const float keys[3][2] = {{100, 0}, {99, 0}, {-100, 0}};
  const float values[3][2] = {{1, 0}, {0, 1}, {5, 5}};
  for (int p = 0; p < 3; ++p) {
    for (int i = 0; i < 2; ++i) {
      problem.key(0, 0, p, i) = keys[p][i];
      problem.value(0, 0, p, i) = values[p][i];
    }
  }
  problem.query = {100 * std::sqrt(2.0F), 0};
  problem.stride = 2;
  problem.positions = {2};
  GetParam().decode_attention(problem.args());
  EXPECT_NEAR(problem.out[0], 1.0F, 1e-6);
  EXPECT_NEAR(problem.out[1], 0.0F, 1e-6);
}

TEST_P(DecodeAttentionTest, RefusesBadArguments) {
  Problem problem({.streams = 2, .heads = 2, .head_dim = 8, .context = 20});
  const DecodeAttentionArgs good = problem.args();
  const auto refuses = [&](auto&& spoil) {
    DecodeAttentionArgs bad = good;
    spoil(bad);
    EXPECT_THROW(GetParam().decode_attention(bad), PreconditionError);
  };
  EXPECT_NO_THROW(GetParam().decode_attention(good));
  refuses([](DecodeAttentionArgs& a) { a.layout.heads = 0; });
  refuses([](DecodeAttentionArgs& a) { a.layout.head_dim = kMaxHeadDim + 1; });
  refuses([](DecodeAttentionArgs& a) { a.query_stride = 15; });
  refuses([](DecodeAttentionArgs& a) { a.scratch = a.scratch.first(31); });
  refuses([](DecodeAttentionArgs& a) { a.positions = a.positions.first(1); });
  refuses([](DecodeAttentionArgs& a) { a.keys = nullptr; });
  const std::vector<int> beyond = {0, 20};
  refuses([&](DecodeAttentionArgs& a) { a.positions = beyond; });
}

}  // namespace
}  // namespace thermoe
