// SPDX-License-Identifier: Apache-2.0
#include "moe/kv_cache.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

TEST(KvCache, StoresEachPositionWhereDecodeAttentionReadsIt) {
  const KvLayout layout{.streams = 3, .heads = 2, .head_dim = 6, .context = 37};
  KvCache cache(2, layout);
  const auto mark = [](int l, int b, int p, int h, int i) {
    return static_cast<float>((((l * 3 + b) * 37 + p) * 2 + h) * 6 + i + 1);
  };
  for (int l = 0; l < 2; ++l) {
    for (int b = 0; b < 3; ++b) {
      for (int p = 0; p < 37; ++p) {
        std::vector<float> key;
        std::vector<float> value;
        for (int h = 0; h < 2; ++h) {
          for (int i = 0; i < 6; ++i) {
            key.push_back(mark(l, b, p, h, i));
            value.push_back(-mark(l, b, p, h, i));
          }
        }
        cache.store(l, b, p, key.data(), value.data());
      }
    }
  }
  for (int l = 0; l < 2; ++l) {
    for (int b = 0; b < 3; ++b) {
      for (int p = 0; p < 37; ++p) {
        for (int h = 0; h < 2; ++h) {
          for (int i = 0; i < 6; ++i) {
            // keys [streams, heads, blocks, head_dim, 16], values [streams, heads, context, stride]
            const int head = b * 2 + h;
            ASSERT_EQ(cache.keys(l)[((head * 3 + p / 16) * 6 + i) * 16 + p % 16],
                      mark(l, b, p, h, i));
            ASSERT_EQ(cache.values(l)[(head * 37 + p) * 32 + i], -mark(l, b, p, h, i));
          }
        }
      }
    }
  }
}

TEST(KvCache, RefusesEmptyShapesAndHeadsThatAttentionDoesNotTake) {
  EXPECT_THROW(KvCache(0, {}), PreconditionError);
  EXPECT_THROW(KvCache(1, {.streams = 0}), PreconditionError);
  EXPECT_THROW(KvCache(1, {.head_dim = kMaxHeadDim + 1}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
