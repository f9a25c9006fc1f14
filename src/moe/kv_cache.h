// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/aligned_vector.h"

namespace thermoe {

struct KvCacheShape {
  int layers = 1;
  int streams = 1;
  int heads = 1;
  int head_dim = 1;
  int context = 1;  ///< positions a stream
};

/// Keys and values of all streams, and attention of one query over a stream's past. Keys lie in
/// blocks of 16 positions, [head_dim][16], so that 16 scores are one vector of sums; values lie by
/// position, so that the weighted sum is one vector over head_dim. Both are read in one pass, in
/// order.
class KvCache {
 public:
  explicit KvCache(const KvCacheShape& shape);

  /// Stores one position of a stream. key, value [heads, head_dim], keys already rotated.
  void store(int layer, int stream, int position, const float* key, const float* value);

  /// softmax(q · keys / sqrt(head_dim)) · values over positions [0, positions) of one head.
  /// query, out [head_dim]; scores is scratch of `scratch_size()` floats. Requires positions >= 1.
  void attend(int layer, int stream, int head, int positions, const float* query, float* scores,
              float* out) const;

  std::size_t scratch_size() const { return static_cast<std::size_t>(blocks_) * 16; }

 private:
  std::size_t row(int layer, int stream, int head) const;

  KvCacheShape shape_;
  int blocks_;                   // of 16 positions
  int value_stride_;             // head_dim rounded up to whole vectors
  AlignedVector<float> keys_;    // [layers, streams, heads, blocks, head_dim, 16]
  AlignedVector<float> values_;  // [layers, streams, heads, context, value_stride]
};

}  // namespace thermoe
