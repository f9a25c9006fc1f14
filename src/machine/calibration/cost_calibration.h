// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/router_spec.h"
#include "cost/expert_shape.h"
#include "cost/kernel_cost_model.h"
#include "machine/calibration/calibration_fit.h"
#include "machine/calibration/calibration_plan.h"
#include "machine/calibration/calibration_run.h"
#include "machine/calibration/sensor_lag_fit.h"

namespace thermoe {

/// What is calibrated, and for what.
struct CalibrationRequest {
  ExpertShape shape{};                ///< that the load runs: so many layers, such experts
  std::vector<std::string> dtypes{};  ///< one a variant of its experts
  const RouterSpec& router;           ///< of the model that decides
  int layers = 0;                     ///< of that model
  int tokens = 0;                     ///< of a step
  Seconds step_period{};              ///< of the experiment; 0: saturated
  /// Has what is not measured here: thermal model, perturbation, quantisation groups.
  const KernelCostModel& base;
  std::string device{};
  std::string driver{};
  std::uint64_t seed = 1;  ///< of the experts and of the order
  CalibrationTiming timing{};
};

/// What a calibration found. Energies of `fit` are of whole steps, those of `costs` of a layer.
struct CostCalibration {
  KernelCostModel costs;  ///< source "calibrated"; the path is not a file's
  CalibrationFit fit{};
  CalibrationState state{};
  std::optional<SensorLagFit> lag{};  ///< absent: the sensor did not follow the work
  Seconds step_period{};
  Seconds taken{};
  std::string base{};  ///< path of the model that the rest is taken from
};

/// Called before every window: how much of the calibration is over.
using CalibrationProgress = std::function<void(Seconds done, Seconds of)>;

/// Measures what a step costs at up to six D, at most `timing.budget` long, and makes a cost model
/// of it. Nothing if it was stopped. Throws UsageError for a GPU without an energy counter and a
/// budget too short, TelemetryError where the sensors fail, Error where the figures cannot be, and
/// what the load throws.
std::optional<CostCalibration> calibrate_costs(const CalibrationRequest& request,
                                               const CalibrationBench& bench,
                                               const CalibrationProgress& progress);

/// The same of a record: from what was seen to a cost model.
CostCalibration calibration_of(const CalibrationRequest& request, const CalibrationRecord& record);

/// For the terminal: costs by D, idle, the line that a controller uses, the sensor's lag, and what
/// was not measured.
std::string to_text(const CostCalibration& calibration);

}  // namespace thermoe
