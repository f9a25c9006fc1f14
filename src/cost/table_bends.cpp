// SPDX-License-Identifier: Apache-2.0
#include "cost/table_bends.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace thermoe {
namespace {

constexpr double kFlat = 0.05;           // rows this near each other cost the same
constexpr double kTileTolerance = 0.01;  // 132 processors are not a tile of 128
constexpr double kSteeper = 2.0;         // than its neighbours, a jump
constexpr double kLeastShare = 0.05;     // of a first row, to speak of an activation cost
constexpr std::size_t kLeastSteps = 3;
constexpr std::array kTiles = {8.0, 16.0, 32.0, 64.0, 128.0, 256.0};

double slope(std::span<const CurvePoint> p, std::size_t segment) {
  return (p[segment + 1].y - p[segment].y) / (p[segment + 1].x - p[segment].x);
}

std::optional<Bend> activation(std::span<const CurvePoint> p) {
  std::size_t flat = 0;
  while (flat + 1 < p.size() && std::abs(p[flat + 1].y - p[0].y) <= kFlat * p[0].y) ++flat;
  const std::size_t until = std::max<std::size_t>(flat, 1);
  const double rise = std::max(0.0, (p[until].y - p[0].y) / (p[until].x - p[0].x));
  const double before = p[0].y - rise * p[0].x;
  if (p[0].y <= 0.0 || before <= kLeastShare * p[0].y) return std::nullopt;
  return Bend{
      .kind = BendKind::kActivation, .from = p[0], .to = p[flat], .relative = before / p[0].y};
}

/// Segments that jump. The ends have no neighbour to be steeper than.
std::vector<std::size_t> jumps(std::span<const CurvePoint> p) {
  std::vector<std::size_t> found;
  for (std::size_t i = 1; i + 2 < p.size(); ++i) {
    const double beside = std::max({0.0, slope(p, i - 1), slope(p, i + 1)});
    const bool rises = p[i + 1].y > (1.0 + kFlat) * p[i].y;
    if (rises && slope(p, i) > kSteeper * beside) found.push_back(i);
  }
  return found;
}

/// The distance between jumps, if it is one as far as the rows resolve it.
std::optional<double> common_distance(std::span<const CurvePoint> p,
                                      const std::vector<std::size_t>& at) {
  if (at.size() < kLeastSteps) return std::nullopt;
  const auto middle = [&](std::size_t i) { return 0.5 * (p[i].x + p[i + 1].x); };
  const double mean = (middle(at.back()) - middle(at.front())) / static_cast<double>(at.size() - 1);
  for (std::size_t j = 1; j < at.size(); ++j) {
    const double width = 0.5 * (p[at[j] + 1].x - p[at[j]].x + p[at[j - 1] + 1].x - p[at[j - 1]].x);
    const double off = std::abs(middle(at[j]) - middle(at[j - 1]) - mean);
    if (off > width || width > 0.5 * mean) return std::nullopt;
  }
  return mean;
}

Bend jump(std::span<const CurvePoint> p, std::size_t at) {
  return {.kind = BendKind::kTileStep,
          .from = p[at],
          .to = p[at + 1],
          .relative = p[at + 1].y / p[at].y - 1.0};
}

}  // namespace

std::string_view to_string(BendKind kind) {
  switch (kind) {
    case BendKind::kActivation:
      return "activation cost";
    case BendKind::kTileStep:
      return "tile step";
    case BendKind::kWave:
      return "wave quantisation";
  }
  return "unknown";
}

std::vector<Bend> find_bends(std::span<const CurvePoint> points, bool along_tokens) {
  std::vector<Bend> bends;
  if (points.size() < 2) return bends;
  if (const auto before = activation(points)) bends.push_back(*before);
  const std::vector<std::size_t> at = jumps(points);
  const auto distance = common_distance(points, at);
  if (!distance) {
    for (const std::size_t i : at) {
      bends.push_back(jump(points, i));
      // Experts are no tiles of tokens: more of them are more blocks.
      if (!along_tokens) bends.back().kind = BendKind::kWave;
    }
    return bends;
  }
  Bend bend = jump(points, at.front());
  bend.steps = static_cast<int>(at.size());
  bend.period = *distance;
  const bool tile = std::ranges::any_of(
      kTiles, [&](double size) { return std::abs(*distance - size) <= kTileTolerance * size; });
  bend.kind = along_tokens && tile ? BendKind::kTileStep : BendKind::kWave;
  bends.push_back(bend);
  return bends;
}

std::string bend_text(const Bend& bend, const std::string& along) {
  if (bend.kind == BendKind::kActivation) {
    const std::string flat =
        bend.to.x > bend.from.x ? fmt::format(", flat to {:g}", bend.to.x) : std::string();
    return fmt::format("{:.0f} % of the row at {} = {:g} is there before any load{}",
                       100.0 * bend.relative, along, bend.from.x, flat);
  }
  if (bend.steps > 1) {
    return fmt::format("{:+.0f} % between {:g} and {:g}, and {} more each {:g}",
                       100.0 * bend.relative, bend.from.x, bend.to.x, bend.steps - 1, bend.period);
  }
  return fmt::format("{:+.0f} % between {:g} and {:g}", 100.0 * bend.relative, bend.from.x,
                     bend.to.x);
}

}  // namespace thermoe
