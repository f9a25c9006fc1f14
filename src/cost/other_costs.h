// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cost/cost_table.h"

namespace thermoe {

/// What one step costs beside its expert layers, at one point. Energy is above active idle.
struct OtherRow {
  double batch = 1.0;               ///< sequences that the step decodes
  std::optional<int> graph_size{};  ///< batch that the engine's captured graph pads to
  std::optional<double> context{};  ///< mean tokens of context of a sequence
  Seconds latency{};
  std::optional<Joules> energy{};
  std::optional<int> samples{};
  std::optional<double> spread{};         ///< relative half-width of the latency
  std::optional<double> energy_spread{};  ///< relative half-width of the energy
  bool operator==(const OtherRow&) const = default;
};

/// What the steps of one model on one engine cost beside the expert layers that the tables hold:
/// attention, norms, routing, the head, launch gaps.
class OtherCosts {
 public:
  /// Requires rows as `find_problem` has them.
  OtherCosts(std::string model, std::string engine, CostSource source, std::string method,
             std::vector<OtherRow> rows);

  /// A step runs the least graph that holds its batch, or the largest there is: its padding rows
  /// cost what the graph's row does, whatever the batch. Without graph sizes linear in batch;
  /// linear in context, continued beyond the rows and never below zero. `context` is read only
  /// where rows have it; absent: the least that they have.
  OpCost at(double batch, std::optional<double> context = std::nullopt) const;

  const std::string& model() const { return model_; }
  const std::string& engine() const { return engine_; }
  CostSource source() const { return source_; }
  const std::string& method() const { return method_; }
  const std::vector<OtherRow>& rows() const { return rows_; }
  /// The least context of the rows; absent where they have none.
  std::optional<double> least_context() const;
  /// "Qwen3-30B-A3B on vLLM 0.25.1", for messages.
  std::string name() const { return model_ + " on " + engine_; }

  bool operator==(const OtherCosts&) const = default;
  /// The same with energies multiplied.
  OtherCosts with_energy_scale(double factor) const;

 private:
  std::string model_;
  std::string engine_;
  CostSource source_;
  std::string method_;
  std::vector<OtherRow> rows_;
  /// By graph size (0: rows without): a table of batch (its tokens) and context (its second
  /// variable), for its interpolation.
  std::map<int, CostTable> by_graph_{};
};

/// What keeps a row from following `last`, and the field that is at fault: all rows have a graph
/// size or none, all a context or none, a graph holds its batch, and rows ascend by graph size,
/// batch, context.
struct OtherProblem {
  std::string field{};
  std::string problem{};
};
std::optional<OtherProblem> find_problem(const OtherRow* last, const OtherRow& row);

}  // namespace thermoe
