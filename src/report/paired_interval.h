// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace thermoe {

/// A piece of text (what one stream decodes of one document) under a strategy and under BASELINE.
struct PairedPiece {
  double bits = 0.0;      ///< of the strategy, sum over the piece's bytes
  double baseline = 0.0;  ///< of BASELINE, the same bytes
};

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// The 95 % interval of the loss against BASELINE, in % of bits a byte, over the choice of text:
/// percentile bootstrap of whole pieces, since the bytes of a document are alike in what a strategy
/// costs them. The same seed gives the same interval. Absent for fewer than eight pieces, which
/// tell too little of the spread. Requires baseline bits > 0 in all.
std::optional<Interval> loss_interval(std::span<const PairedPiece> pieces, std::uint64_t seed);

}  // namespace thermoe
