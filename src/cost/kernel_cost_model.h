// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sensor_lag.h"
#include "core/step_cost.h"
#include "core/thermal_model.h"
#include "core/units.h"
#include "cost/cost_table.h"
#include "cost/expert_shape.h"
#include "cost/other_costs.h"
#include "cost/perturbation.h"
#include "cost/step_cost_fit.h"

namespace thermoe {

/// A complete cost (latency and energy both known) and how firmly it is known.
struct Lookup {
  Cost cost{};
  Basis basis = Basis::kMeasured;
};

/// Whose costs, and under which conditions they were taken.
struct CostModelHeader {
  std::string path{};  ///< where it was loaded from, for messages
  std::string device{};
  std::string driver{};
  std::optional<Megahertz> sm_clock{};
  std::optional<Megahertz> memory_clock{};
  std::string power_definition{};
  std::string purpose{};  ///< what the file is for; empty where it does not say
  Watts active_idle{};
  Watts cold_idle{};
  std::optional<FirstOrderThermal> thermal{};
  Perturbation perturbation{};
  std::optional<SensorLag> sensors{};  ///< of this device's power
  std::vector<ExpertShape> models{};   ///< whose layers tables of the file stand for, by name
  bool operator==(const CostModelHeader&) const = default;
};

/// What each kernel costs on one device, from a kernel_cost_model.json
/// (docs/adr/0005-cost-schema.md). Immutable; safe to read from any thread.
class KernelCostModel {
 public:
  /// Throws FormatError, naming file and key, for anything that is not a sound cost model.
  static KernelCostModel load(const std::string& path);
  /// The same from parsed JSON; `path` is only for messages.
  static KernelCostModel from_json(const nlohmann::json& json, const std::string& path);
  KernelCostModel(CostModelHeader header, std::vector<CostTable> tables,
                  std::vector<OtherCosts> others = {});

  /// The plant's view of one layer of experts: the table, interpolated in tokens and active
  /// experts, extrapolation marked. Throws UsageError where the file has no such table.
  Lookup layer(const ExpertShape& shape, const std::string& dtype, double tokens,
               double active) const;
  /// The controller's view of a decode step: a layer constant and one CostCurve an expert variant,
  /// fitted to the moe_experts rows at this batch. Throws UsageError where the file has no such
  /// table.
  StepCost step_cost(const ExpertShape& shape, const std::vector<std::string>& dtypes, int tokens,
                     double layer_repeat) const;
  /// The same with the residual of the fit.
  StepCostFit fit_step_cost(const ExpertShape& shape, const std::vector<std::string>& dtypes,
                            int tokens, double layer_repeat) const;

  Watts active_idle() const { return header_.active_idle; }
  /// Throws FormatError naming /thermal where the file has no thermal model: heat is then absent.
  FirstOrderThermal thermal() const;
  bool has_thermal() const { return header_.thermal.has_value(); }
  const Perturbation& perturbation() const { return header_.perturbation; }
  const std::string& device() const { return header_.device; }
  const CostModelHeader& header() const { return header_; }
  const std::vector<CostTable>& tables() const { return tables_; }
  /// What steps cost beside their expert layers, by model and engine. Where a model has none, only
  /// its expert layers are known.
  const std::vector<OtherCosts>& others() const { return others_; }
  /// The table of an op, or null: unknown op, shape or dtype, or several group sizes to choose
  /// from.
  const CostTable* find(const OpKey& key) const;
  /// The same of the expert layers of a shape.
  const CostTable* find_experts(const ExpertShape& shape, const std::string& dtype) const;

  /// The shape of a model that the file names, or null.
  const ExpertShape* find_shape(std::string_view name) const;
  bool operator==(const KernelCostModel&) const = default;

  /// The same model with every energy (and its heat) multiplied: a GPU that differs from its table.
  KernelCostModel with_energy_scale(double factor) const;

 private:
  const CostTable& expert_table(const ExpertShape& shape, const std::string& dtype) const;

  CostModelHeader header_;
  std::vector<CostTable> tables_;
  std::vector<OtherCosts> others_;
};

}  // namespace thermoe
