// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_description.h"
#include "machine/calibration/cost_calibration.h"
#include "machine/gpu/load_proxy.h"
#include "machine/tenant/tenant_process.h"
#include "run/experiment_inputs.h"
#include "run/progress.h"
#include "run/run_experiment.h"
#include "run/step_decoder.h"
#include "telemetry/gpu_processes.h"

namespace thermoe {

struct GpuSessionOptions {
  std::string program{};                           ///< `thermoe`, for the tenant's process
  std::string nvml_library = "libnvidia-ml.so.1";  ///< as NvmlOptions has it
};

/// The current CUDA device for the length of an experiment: the load that the decisions make, its
/// sensors, and the other tenant where the experiment has one.
class GpuSession {
 public:
  /// Makes the load, and the tenant, which calibrates itself: up to half a minute. Fills in
  /// `inputs.machine`, and in the tenant's disturbances its watts; its bandwidth is not known. All
  /// must outlive it. Throws UsageError, with the remedy, where the device, its driver or its
  /// memory will not do.
  GpuSession(ExperimentInputs& inputs, const StepDecoder& decoder, GpuSessionOptions options,
             Progress& progress, const std::atomic<bool>& stop);
  ~GpuSession();

  /// Measures the costs of this load, which become those of the inputs. Nothing, and nothing is
  /// changed, if it was stopped.
  std::optional<CostCalibration> calibrate();
  /// Each waits until the GPU is as cool as the first found it, at most the experiment's cool-down.
  MachineFactory machines();

 private:
  std::unique_ptr<Source> open_source(Seconds energy_period) const;
  void describe();
  void cool_down();

  ExperimentInputs& inputs_;
  const StepDecoder& decoder_;
  GpuSessionOptions options_;
  Progress& progress_;
  const std::atomic<bool>& stop_;
  DeviceDescription device_;
  std::optional<std::vector<GpuProcess>> processes_;
  std::unique_ptr<TenantProcess> tenant_;  // before the load: it measures its watts alone
  LoadProxy load_;
  std::optional<Celsius> start_temperature_{};
};

}  // namespace thermoe
