// SPDX-License-Identifier: Apache-2.0
#include "core/spread_extra.h"

namespace thermoe {

void spread_extra(int whole, float extra, int layer, std::uint64_t step, std::span<int> by_token) {
  const auto tokens = static_cast<int>(by_token.size());
  for (int t = 0; t < tokens; ++t) {
    by_token[static_cast<std::size_t>(t)] =
        whole + (has_extra(extra, layer, step, t, tokens) ? 1 : 0);
  }
}

}  // namespace thermoe
