// SPDX-License-Identifier: Apache-2.0
#include "report/paired_interval.h"

#include <algorithm>
#include <random>
#include <vector>

namespace thermoe {
namespace {

constexpr std::size_t kFewest = 8;
constexpr std::size_t kResamples = 2000;

}  // namespace

std::optional<Interval> loss_interval(std::span<const PairedPiece> pieces, std::uint64_t seed) {
  if (pieces.size() < kFewest) return std::nullopt;
  std::mt19937_64 random(seed);
  std::vector<double> losses(kResamples);
  for (double& loss : losses) {
    PairedPiece sum;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      // Not std::uniform_int_distribution, whose results differ between libraries.
      const PairedPiece& drawn = pieces[random() % pieces.size()];
      sum.bits += drawn.bits;
      sum.baseline += drawn.baseline;
    }
    loss = 100 * (sum.bits / sum.baseline - 1);
  }
  std::sort(losses.begin(), losses.end());
  return Interval{.low = losses[kResamples / 40], .high = losses[kResamples - 1 - kResamples / 40]};
}

}  // namespace thermoe
