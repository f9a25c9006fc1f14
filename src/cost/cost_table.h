// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cost_curve.h"
#include "core/units.h"

namespace thermoe {

/// Names one profiled table. Shapes by op (docs/adr/0005-cost-schema.md):
/// moe_experts [experts, top_k, d_model, d_ff]; linear, fused_dequant_linear and dequant_unpack
/// [out, in]; activation_* [width]; topk_route [experts, top_k]; decode_attention
/// [heads, head_dim, context].
struct OpKey {
  std::string op{};
  std::vector<int> shape{};
  std::string dtype{};
  /// Weights that share a scale. Absent: whatever the only table of this op, shape and dtype has.
  std::optional<int> group_size{};

  bool operator==(const OpKey&) const = default;
};
/// "linear [1536, 2048] bf16", for messages and tables.
std::string to_string(const OpKey& key);

/// How a table's figures came to be.
enum class CostSource { kCupti, kTimed, kNsys, kNcu, kKineto, kCalibrated, kDerived, kSimulated };
std::string_view to_string(CostSource source);

/// One profiled point. Energy is above active idle; energy and heat are absent where nobody
/// measured.
struct CostRow {
  double tokens = 1.0;
  std::optional<double>
      active_experts{};  ///< distinct experts with work; only in moe_experts tables
  Seconds latency{};
  std::optional<Joules> energy{};
  std::optional<Celsius> heat{};  ///< immediate rise of the die
  std::optional<int> samples{};
  std::optional<double>
      spread{};  ///< relative half-width of the latency: (p90 - p10) / (2 * median)
  std::optional<double> energy_spread{};  ///< relative half-width of the energy, as far as known
  /// Nobody measured this row's energy: a model that was fitted to other rows' says it.
  bool energy_fitted = false;
  bool operator==(const CostRow&) const = default;
};

/// What a lookup found: energy and heat are absent where the table's rows lack them.
struct OpCost {
  Seconds latency{};
  std::optional<Joules> energy{};
  std::optional<Celsius> heat{};
  Basis basis = Basis::kMeasured;
};

/// The rows of one op, shape and dtype, and linear interpolation between them.
class CostTable {
 public:
  /// Requires rows sorted by (tokens, active experts) without duplicates, all of them with active
  /// experts or none (the loader has checked files for it).
  CostTable(OpKey key, CostSource source, std::string method, std::vector<CostRow> rows);

  /// Linear in tokens, and for tables by active experts bilinear: along active experts within the
  /// two neighbouring token counts, then along tokens. Beyond the rows the nearest segment
  /// continues, never below zero; a token count with a single row borrows its neighbour's slope
  /// along active experts. Requires finite tokens and active_experts >= 0; active_experts is not
  /// read by tables without it.
  OpCost at(double tokens, double active_experts = 0.0) const;

  const OpKey& key() const { return key_; }
  CostSource source() const { return source_; }
  const std::string& method() const { return method_; }
  const std::vector<CostRow>& rows() const { return rows_; }
  bool by_active_experts() const { return rows_.front().active_experts.has_value(); }
  /// Every row has an energy.
  bool has_energy() const;
  /// Distinct token counts, ascending.
  std::vector<double> token_counts() const;
  /// Rows of one token count, in order of active experts.
  std::vector<CostRow> rows_at(double tokens) const;

  bool operator==(const CostTable&) const = default;

  /// The same table with energy and heat multiplied.
  CostTable with_energy_scale(double factor) const;

 private:
  std::size_t slices() const { return slice_begin_.size() - 1; }
  double slice_tokens(std::size_t slice) const { return rows_[slice_begin_[slice]].tokens; }
  OpCost slice_at(std::size_t slice, double active_experts) const;
  OpCost along_active(std::size_t slice, double active_experts) const;
  std::optional<std::size_t> nearest_line(std::size_t slice) const;

  OpKey key_;
  CostSource source_;
  std::string method_;
  std::vector<CostRow> rows_;
  std::vector<std::size_t> slice_begin_{};  // first row of each token count, then rows_.size()
};

}  // namespace thermoe
