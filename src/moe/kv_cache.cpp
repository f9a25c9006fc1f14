// SPDX-License-Identifier: Apache-2.0
#include "moe/kv_cache.h"

#include <cstring>

#include "core/errors.h"

namespace thermoe {

KvCache::KvCache(int layers, const KvLayout& layout) : layout_(layout) {
  THERMOE_EXPECT(layers >= 1 && layout.streams >= 1 && layout.heads >= 1 && layout.context >= 1,
                 "a KV cache needs at least one layer, stream, head and position");
  THERMOE_EXPECT(layout.head_dim >= 1 && layout.head_dim <= kMaxHeadDim,
                 "head_dim={} is not in 1..{}", layout.head_dim, kMaxHeadDim);
  keys_.resize(layout.keys() * layers);
  values_.resize(layout.values() * layers);
}

void KvCache::store(int layer, int stream, int position, const float* key, const float* value) {
  constexpr int kBlock = KvLayout::kBlock;
  const auto hd = static_cast<std::size_t>(layout_.head_dim);
  for (int h = 0; h < layout_.heads; ++h, key += hd, value += hd) {
    const std::size_t head =
        (static_cast<std::size_t>(layer) * layout_.streams + stream) * layout_.heads + h;
    float* k = keys_.data() + head * layout_.head_keys() + position / kBlock * hd * kBlock +
               position % kBlock;
    for (std::size_t i = 0; i < hd; ++i) k[i * kBlock] = key[i];
    std::memcpy(values_.data() + head * layout_.head_values() +
                    static_cast<std::size_t>(position) * layout_.value_stride(),
                value, hd * sizeof(float));
  }
}

}  // namespace thermoe
