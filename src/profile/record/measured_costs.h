// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "profile/parsed_profile.h"
#include "profile/record/energy_fit.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// What a profile's records say, as tables of a cost model.
struct MeasuredCosts {
  std::vector<CostTable> tables{};
  std::vector<std::string>
      left_out{};  ///< points that are no row, and why; what could not be fitted
};

/// What becomes of expert layers whose energy was neither measured nor fitted: a cost model needs
/// it, a question about latencies does not.
enum class LayersWithoutEnergy { kLeftOut, kKept };

/// A row a timed point: median latency, samples, spread. Its energy is the measured one, above the
/// idle beside its window, or, of an op and dtype with enough of those, a fitted one that says so.
MeasuredCosts measured_costs(const ProfileRecords& records,
                             LayersWithoutEnergy layers = LayersWithoutEnergy::kLeftOut);

/// A model of nothing but these tables. `models` are named in it where their expert layers are
/// there. Absent without a table, or without any measured energy, as nobody knows idle then.
std::optional<KernelCostModel> cost_model_of(const ProfileRecords& records,
                                             const MeasuredCosts& costs,
                                             const std::vector<ExpertShape>& models);

/// The records as `thermoe parse` has them of a profiler's output: a range a point, with its
/// executions, and the kernels that ran in them.
ParsedProfile parsed_profile_of(const ProfileRecords& records, const std::string& file);

}  // namespace thermoe
