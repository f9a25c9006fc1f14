// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "cost/step_rows.h"

namespace thermoe {

/// y = constant + slope * D by least squares; the slope is absent where all D are one.
struct StepLine {
  double constant = 0.0;
  std::optional<double> slope{};
};

/// One quantity of the steps at one batch, graph size and context, in seconds or joules above idle.
struct QuantityFit {
  StepLine steps{};    ///< what was measured
  StepLine experts{};  ///< the model's expert layers at the same D, by the tables
  double other = 0.0;  ///< mean of what is left
  double rms = 0.0;    ///< of experts + other against the steps, relative to them
  double max = 0.0;
};

struct OtherPoint {
  OtherRow row{};
  QuantityFit latency{};
  std::optional<QuantityFit> energy{};
  Basis basis = Basis::kMeasured;  ///< the weakest of the tables' lookups
};

struct OtherFit {
  OtherCosts other;
  std::string experts{};  ///< the table whose layers were taken off
  std::vector<OtherPoint> points{};
};

struct OtherFitRequest {
  std::string rows_file{};
  std::string model{};   ///< of the cost model's "models"
  std::string engine{};  ///< its name and version
  std::string dtype = "bf16";
};

/// What steps cost beside the model's expert layers: at each batch, graph size and context the mean
/// over D of step - layers * table(batch, D), energies without `costs`' active idle. Other costs do
/// not depend on D; where the steps' slope differs from the tables', the residuals show it. Energy
/// is left out where any row of the point lacks it. Throws UsageError where the model or its table
/// is unknown, or where the expert layers alone exceed the steps: the tables are not those of this
/// engine's kernels then.
OtherFit fit_other_costs(const std::vector<StepRow>& rows, const KernelCostModel& costs,
                         const OtherFitRequest& request);

/// What `thermoe cost fit-step` prints.
std::string fit_text(const OtherFit& fit);
nlohmann::json fit_json(const OtherFit& fit);

/// Puts the costs into the file in the place of those of the same model and engine; what else the
/// file says, also to people, stays as it is. Writes to `out` whole or not at all. Throws
/// FormatError, WriteError.
void write_other_costs(const OtherCosts& other, const std::string& path, const std::string& out);

}  // namespace thermoe
