// SPDX-License-Identifier: Apache-2.0
#include "moe/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace thermoe {
namespace {

/// A cache with random content, and the content.
struct Filled {
  explicit Filled(const KvCacheShape& s) : shape(s), cache(s) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    const int width = s.heads * s.head_dim;
    for (int l = 0; l < s.layers; ++l) {
      for (int b = 0; b < s.streams; ++b) {
        for (int p = 0; p < s.context; ++p) {
          std::vector<float> both(2 * static_cast<std::size_t>(width));
          for (float& v : both) v = normal(random);
          cache.store(l, b, p, both.data(), both.data() + width);
          content.push_back(std::move(both));
        }
      }
    }
  }
  const float* key(int l, int b, int p, int h) const {
    return content[(l * shape.streams + b) * shape.context + p].data() + h * shape.head_dim;
  }
  const float* value(int l, int b, int p, int h) const {
    return key(l, b, p, h) + shape.heads * shape.head_dim;
  }

  std::vector<double> expected(int l, int b, int h, int positions, const float* query) const {
    std::vector<double> weights;
    double total = 0.0;
    for (int p = 0; p < positions; ++p) {
      double score = 0.0;
      for (int i = 0; i < shape.head_dim; ++i) score += query[i] * double{key(l, b, p, h)[i]};
      weights.push_back(std::exp(score / std::sqrt(shape.head_dim)));
      total += weights.back();
    }
    std::vector<double> out(shape.head_dim);
    for (int p = 0; p < positions; ++p) {
      for (int i = 0; i < shape.head_dim; ++i) {
        out[i] += weights[p] / total * double{value(l, b, p, h)[i]};
      }
    }
    return out;
  }

  KvCacheShape shape;
  KvCache cache;
  std::vector<std::vector<float>> content{};
};

TEST(KvCache, AttendsToEachStreamsOwnValidPositions) {
  for (const int head_dim : {6, 32, 40}) {
    const Filled filled(
        {.layers = 2, .streams = 3, .heads = 2, .head_dim = head_dim, .context = 37});
    std::vector<float> query(head_dim);
    for (int i = 0; i < head_dim; ++i) query[i] = std::sin(static_cast<float>(i) + 1.0F);
    std::vector<float> scores(filled.cache.scratch_size());
    for (const int positions : {1, 15, 16, 17, 37}) {
      for (int b = 0; b < 3; ++b) {
        const int l = b % 2;
        const int h = (b + 1) % 2;
        std::vector<float> out(head_dim);
        filled.cache.attend(l, b, h, positions, query.data(), scores.data(), out.data());
        const auto expected = filled.expected(l, b, h, positions, query.data());
        for (int i = 0; i < head_dim; ++i) {
          ASSERT_NEAR(out[i], expected[i], 2e-6) << positions << " positions, stream " << b;
        }
      }
    }
  }
}

TEST(KvCache, SurvivesScoresThatWouldOverflowExp) {
  KvCache cache({.layers = 1, .streams = 1, .heads = 1, .head_dim = 2, .context = 3});
  const float keys[3][2] = {{100, 0}, {99, 0}, {-100, 0}};
  const float values[3][2] = {{1, 0}, {0, 1}, {5, 5}};
  for (int p = 0; p < 3; ++p) cache.store(0, 0, p, keys[p], values[p]);
  const float query[2] = {100 * std::sqrt(2.0F), 0};
  std::vector<float> scores(cache.scratch_size());
  float out[2] = {};
  cache.attend(0, 0, 0, 3, query, scores.data(), out);
  EXPECT_NEAR(out[0], 1.0F, 1e-6);
  EXPECT_NEAR(out[1], 0.0F, 1e-6);
}

}  // namespace
}  // namespace thermoe
