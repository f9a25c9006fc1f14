// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <numbers>
#include <span>
#include <vector>

#include "report/paired_interval.h"

namespace thermoe {

/// Bits that each piece of text took: a piece is what one stream decodes from one restart to the
/// next, of one document. Runs that decode the same bytes in the same order have the same pieces.
class TextPieces {
 public:
  /// Adds a step. `restarts` are the streams that begin a piece with it; nats [streams].
  void add(std::span<const int> restarts, std::span<const double> nats) {
    if (current_.empty()) {
      for (std::size_t s = 0; s < nats.size(); ++s) begin(current_.emplace_back());
    } else {
      for (const int stream : restarts) begin(current_[static_cast<std::size_t>(stream)]);
    }
    for (std::size_t s = 0; s < nats.size(); ++s) bits_[current_[s]] += nats[s] / std::numbers::ln2;
  }

  /// Each piece beside the same one of `baseline`; those that it lacks are left out.
  std::vector<PairedPiece> beside(const TextPieces& baseline) const {
    std::vector<PairedPiece> pairs;
    for (std::size_t i = 0; i < bits_.size() && i < baseline.bits_.size(); ++i) {
      pairs.push_back({.bits = bits_[i], .baseline = baseline.bits_[i]});
    }
    return pairs;
  }

 private:
  void begin(std::size_t& piece) {
    piece = bits_.size();
    bits_.push_back(0.0);
  }

  std::vector<double> bits_{};
  std::vector<std::size_t> current_{};  // [streams] the piece of each
};

}  // namespace thermoe
