// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cost/convex_envelope.h"

namespace thermoe {

/// Why a profiled line is not a straight one through zero, as far as its figures tell.
enum class BendKind {
  kActivation,  ///< a part that is there before any load: weights read, launches, alignment
  kTileStep,    ///< a jump between two rows where another tile of tokens begins
  kWave,        ///< jumps at equal distances: another wave of blocks on the processors
};
std::string_view to_string(BendKind kind);

/// Activation: the first row, the last row that costs about as much, and the share of the first
/// row's cost that is not proportional to x. Jumps: the rows before and after, and the relative
/// rise; for several at equal distances the first one's, their number and distance.
struct Bend {
  BendKind kind = BendKind::kActivation;
  CurvePoint from{};
  CurvePoint to{};
  double relative = 0.0;
  int steps = 1;
  double period = 0.0;  ///< 0 for a single jump
};

/// Bends of a line of at least two points, x strictly ascending. A jump rises by more than 5 % and
/// at least twice as steeply as both its neighbours; three or more at equal distances (as far as
/// the rows resolve them) are one bend: tiles where the line is along tokens and the distance one
/// of a tile's sizes (8 to 256, powers of two), else waves.
std::vector<Bend> find_bends(std::span<const CurvePoint> points, bool along_tokens);

/// "100 % of the row at tokens = 1 is there before any load, flat to 16", "+100 % between 16 and
/// 32".
std::string bend_text(const Bend& bend, const std::string& along);

}  // namespace thermoe
