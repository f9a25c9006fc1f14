// SPDX-License-Identifier: Apache-2.0
#include "control/utilities.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/errors.h"

namespace thermoe {

Utilities::Utilities(const LogitSample& sample, int k)
    : layers_(sample.layers), tokens_(sample.tokens), experts_(sample.experts), k_(k) {
  THERMOE_EXPECT(layers_ >= 1 && tokens_ >= 1 && k >= 1 && k <= experts_,
                 "sample of layers={} tokens={} experts={} with k={}", layers_, tokens_, experts_,
                 k);
  const std::size_t rows = static_cast<std::size_t>(layers_) * static_cast<std::size_t>(tokens_);
  const auto width = static_cast<std::size_t>(experts_);
  THERMOE_EXPECT(sample.logits.size() == rows * width, "sample has {} logits, its shape says {}",
                 sample.logits.size(), rows * width);
  u_.resize(rows * width);
  std::vector<float> largest(static_cast<std::size_t>(k));
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span logits = std::span(sample.logits).subspan(r * width, width);
    const std::span u = std::span(u_).subspan(r * width, width);
    finite_ = finite_ &&
              std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); });
    if (!finite_) return;
    // The softmax's own normaliser cancels in u: only the ratio to the top-k mass remains.
    const float most = *std::max_element(logits.begin(), logits.end());
    std::transform(logits.begin(), logits.end(), u.begin(),
                   [most](float x) { return std::exp(x - most); });
    std::partial_sort_copy(u.begin(), u.end(), largest.begin(), largest.end(), std::greater<>());
    float mass = 0.0F;
    for (const float p : largest) mass += p;
    for (float& x : u) x /= mass;
  }
}

}  // namespace thermoe
