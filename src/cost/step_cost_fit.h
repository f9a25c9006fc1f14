// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/step_cost.h"
#include "cost/cost_table.h"

namespace thermoe {

/// How well a straight line per active expert describes a table at one batch. Errors are relative
/// to the table's own figure at the same point.
struct FitReport {
  std::string dtype{};
  Basis basis = Basis::kMeasured;  ///< interpolated where the batch itself was not profiled
  int rows = 0;
  double latency_rms = 0.0;
  double latency_max = 0.0;
  double energy_rms = 0.0;
  double energy_max = 0.0;
};

/// A StepCost and one report a variant.
struct StepCostFit {
  StepCost step{};
  std::vector<FitReport> reports{};
};

/// Fits C(n) = constant + sum over experts with work of [a + s * (n_e - 1)] to moe_experts tables
/// at one batch, all coefficients >= 0, for latency and energy apart, by least squares.
/// - s, the token slope, from pairs of rows with equal active experts and different token counts;
/// - a and the constant from the rows at `tokens` (between two profiled batches: from rows
///   interpolated at the active experts of the nearer one).
/// Variant 0 sets the layer constant; the others are fitted with that constant held, as a layer of
/// mixed precision still has one routing, alignment and combine. `tables` [variants] must all have
/// energies and active experts; top_k >= 1 is the picks of a profiled token. Heat follows energy by
/// the ratio of the table's rows (zero where the tables have none).
StepCostFit fit_step_cost(const std::vector<const CostTable*>& tables, int tokens, int top_k,
                          double layer_repeat, Watts active_idle);

}  // namespace thermoe
