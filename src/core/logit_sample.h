// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace thermoe {

/// Gate logits of one decode step, kept for the control plane (one sampled step a tick).
struct LogitSample {
  int layers = 0;
  int tokens = 0;
  int experts = 0;
  std::vector<float> logits{};  ///< [layers, tokens, experts], before the score function

  std::span<const float> layer(int l) const {
    const auto size = static_cast<std::size_t>(tokens) * experts;
    return std::span(logits).subspan(size * l, size);
  }
};

}  // namespace thermoe
