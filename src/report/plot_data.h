// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <vector>

#include "report/run_data.h"

namespace thermoe {

/// Numbers that a page may hold for its lines. With the plot library (4.6 MiB) and the expert maps
/// a report stays below 6 MiB; a line of the demo's length (2400 ticks) is drawn whole.
inline constexpr std::size_t kLineNumbers = 120'000;
/// Cells of an expert map over time, all strategies together, for load and for bias each.
inline constexpr std::size_t kMapCells = 64'000;

/// Points that each line may keep (`thin`), so that all lines of these runs fit into `numbers`.
/// Every tick of every strategy, if that fits.
std::size_t points_a_line(const std::vector<RunData>& runs, std::size_t numbers = kLineNumbers);

/// The lines of a strategy, as the page reads them: {"power": {"x": [s], "y": [W], "mean", "least",
/// "most", "last"}, ...}; a line without a value is left out. Lines drawn whole share "time".
nlohmann::json lines_json(const StrategyTicks& ticks, std::size_t points);

/// The share of the steps (y, %) that took at most x ms, by the mean time of their tick.
nlohmann::json step_distribution_json(const StrategyTicks& ticks);

/// A map of the experts by layer, of the whole run and over time:
/// {"experts", "span_s", "spans", "scale", "layers": [{"whole": [experts], "spans":
/// [spans][experts]}]} Load: an expert's tokens over the mean expert's of its layer. Bias: mean
/// over the time. The values are whole numbers times `scale`. `cells` bounds layers x experts x
/// spans.
enum class MapOf { kLoad, kBias };
nlohmann::json map_json(ExpertTimeline timeline, MapOf what, std::size_t cells);

}  // namespace thermoe
