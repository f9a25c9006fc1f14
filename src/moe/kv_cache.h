// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/aligned_vector.h"
#include "kernels/decode_attention.h"

namespace thermoe {

/// Keys and values of all layers and streams, laid out as decode_attention reads them.
class KvCache {
 public:
  /// Requires positive sizes and a head_dim that decode_attention takes.
  KvCache(int layers, const KvLayout& layout);

  /// Stores one position of a stream. key, value [heads, head_dim], keys already rotated.
  void store(int layer, int stream, int position, const float* key, const float* value);

  const KvLayout& layout() const { return layout_; }
  const float* keys(int layer) const { return keys_.data() + layout_.keys() * layer; }
  const float* values(int layer) const { return values_.data() + layout_.values() * layer; }

 private:
  KvLayout layout_;
  AlignedVector<float> keys_;    // [layers, layout.keys()]
  AlignedVector<float> values_;  // [layers, layout.values()]
};

}  // namespace thermoe
