// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

template <class T>
std::optional<T> blend(const std::optional<T>& a, const std::optional<T>& b, double share) {
  if (!a || !b) return std::nullopt;
  return *a + share * (*b - *a);
}

/// a + share * (b - a), share any number; absent where either is.
OpCost blend(const OpCost& a, const OpCost& b, double share) {
  return {.latency = a.latency + share * (b.latency - a.latency),
          .energy = blend(a.energy, b.energy, share),
          .heat = blend(a.heat, b.heat, share),
          .basis = weaker(a.basis, b.basis)};
}

/// a + sign * b.
OpCost sum(const OpCost& a, double sign, const OpCost& b) {
  OpCost c{.latency = a.latency + sign * b.latency, .basis = weaker(a.basis, b.basis)};
  if (a.energy && b.energy) c.energy = *a.energy + sign * *b.energy;
  if (a.heat && b.heat) c.heat = *a.heat + sign * *b.heat;
  return c;
}

/// Continued lines may fall below zero; costs do not.
OpCost not_below_zero(OpCost c) {
  c.latency = std::max(c.latency, Seconds(0.0));
  if (c.energy) c.energy = std::max(*c.energy, Joules(0.0));
  if (c.heat) c.heat = std::max(*c.heat, Celsius(0.0));
  return c;
}

OpCost cost_of(const CostRow& row) {
  return {.latency = row.latency, .energy = row.energy, .heat = row.heat};
}

/// Where x lies among ascending knots: the segment to use, the share along it, and the basis.
struct Place {
  std::size_t segment = 0;
  double share = 0.0;
  Basis basis = Basis::kMeasured;
};

Place place(const std::vector<double>& knots, double x) {
  const std::size_t n = knots.size();
  const auto above = std::upper_bound(knots.begin(), knots.end(), x) - knots.begin();
  const std::size_t before = above == 0 ? 0 : static_cast<std::size_t>(above) - 1;
  if (knots[before] == x) return {.segment = before};
  if (n == 1) return {.basis = Basis::kExtrapolated};
  const std::size_t s = std::min(before, n - 2);
  const bool inside = x > knots.front() && x < knots.back();
  return {.segment = s,
          .share = (x - knots[s]) / (knots[s + 1] - knots[s]),
          .basis = inside ? Basis::kInterpolated : Basis::kExtrapolated};
}

}  // namespace

std::string to_string(const OpKey& key) {
  std::string text = fmt::format("{} [{}] {}", key.op, fmt::join(key.shape, ", "), key.dtype);
  if (key.group_size) text += fmt::format(" group {}", *key.group_size);
  return text;
}

std::string_view to_string(CostSource source) {
  switch (source) {
    case CostSource::kCupti:
      return "cupti";
    case CostSource::kTimed:
      return "timed";
    case CostSource::kNsys:
      return "nsys";
    case CostSource::kNcu:
      return "ncu";
    case CostSource::kKineto:
      return "kineto";
    case CostSource::kCalibrated:
      return "calibrated";
    case CostSource::kDerived:
      return "derived";
    case CostSource::kSimulated:
      return "simulated";
  }
  return "unknown";
}

CostTable::CostTable(OpKey key, CostSource source, std::string method, std::vector<CostRow> rows)
    : key_(std::move(key)), source_(source), method_(std::move(method)), rows_(std::move(rows)) {
  THERMOE_EXPECT(!rows_.empty(), "{}: a cost table needs at least one row", to_string(key_));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const CostRow& row = rows_[i];
    THERMOE_EXPECT(row.active_experts.has_value() == rows_[0].active_experts.has_value(),
                   "{}: row {} must have active experts like row 0, or neither", to_string(key_),
                   i);
    if (i == 0 || row.tokens != rows_[i - 1].tokens) slice_begin_.push_back(i);
    if (i == 0) continue;
    const CostRow& last = rows_[i - 1];
    const bool ascending = row.tokens > last.tokens ||
                           (row.tokens == last.tokens && row.active_experts > last.active_experts);
    THERMOE_EXPECT(ascending, "{}: row {} is out of order or repeats row {}", to_string(key_), i,
                   i - 1);
  }
  slice_begin_.push_back(rows_.size());
}

bool CostTable::has_energy() const {
  return std::all_of(rows_.begin(), rows_.end(),
                     [](const CostRow& r) { return r.energy.has_value(); });
}

std::vector<double> CostTable::token_counts() const {
  std::vector<double> counts;
  for (std::size_t s = 0; s < slices(); ++s) counts.push_back(slice_tokens(s));
  return counts;
}

std::vector<CostRow> CostTable::rows_at(double tokens) const {
  std::vector<CostRow> found;
  std::copy_if(rows_.begin(), rows_.end(), std::back_inserter(found),
               [tokens](const CostRow& r) { return r.tokens == tokens; });
  return found;
}

/// Interpolates within a token count's own rows, however few.
OpCost CostTable::along_active(std::size_t slice, double active_experts) const {
  const std::size_t first = slice_begin_[slice];
  std::vector<double> knots;
  for (std::size_t i = first; i < slice_begin_[slice + 1]; ++i)
    knots.push_back(*rows_[i].active_experts);
  const Place at = place(knots, active_experts);
  const CostRow& a = rows_[first + at.segment];
  const CostRow& b = rows_[first + std::min(at.segment + 1, knots.size() - 1)];
  OpCost cost = at.share == 0.0 ? cost_of(a) : blend(cost_of(a), cost_of(b), at.share);
  cost.basis = at.basis;
  return cost;
}

/// The nearest token count with at least two rows, by ratio of tokens.
std::optional<std::size_t> CostTable::nearest_line(std::size_t slice) const {
  const auto distance = [&](std::size_t s) {
    return std::abs(std::log(slice_tokens(s) / slice_tokens(slice)));
  };
  std::optional<std::size_t> best;
  for (std::size_t s = 0; s < slices(); ++s) {
    if (slice_begin_[s + 1] - slice_begin_[s] < 2) continue;
    if (!best || distance(s) < distance(*best)) best = s;
  }
  return best;
}

OpCost CostTable::slice_at(std::size_t slice, double active_experts) const {
  const CostRow& first = rows_[slice_begin_[slice]];
  if (!by_active_experts()) return cost_of(first);
  const bool single = slice_begin_[slice + 1] - slice_begin_[slice] == 1;
  const auto line = nearest_line(slice);
  if (!single || *first.active_experts == active_experts || !line) {
    return along_active(slice, active_experts);
  }
  const OpCost moved =
      sum(along_active(*line, active_experts), -1.0, along_active(*line, *first.active_experts));
  OpCost cost = sum(cost_of(first), 1.0, moved);
  cost.basis = Basis::kExtrapolated;
  return cost;
}

OpCost CostTable::at(double tokens, double active_experts) const {
  THERMOE_EXPECT(std::isfinite(tokens) && tokens >= 0.0 && std::isfinite(active_experts) &&
                     active_experts >= 0.0,
                 "{}: tokens={} and active experts={} must be finite and >= 0", to_string(key_),
                 tokens, active_experts);
  const Place in = place(token_counts(), tokens);
  OpCost cost = slice_at(in.segment, active_experts);
  if (in.share != 0.0) cost = blend(cost, slice_at(in.segment + 1, active_experts), in.share);
  cost.basis = weaker(cost.basis, in.basis);
  return not_below_zero(cost);
}

CostTable CostTable::with_energy_scale(double factor) const {
  CostTable scaled = *this;
  for (CostRow& row : scaled.rows_) {
    if (row.energy) *row.energy *= factor;
    if (row.heat) *row.heat *= factor;
  }
  return scaled;
}

}  // namespace thermoe
