// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "control/controller_config.h"
#include "cost/expert_shape.h"

namespace thermoe {

/// Where an engine's controller reads the GPU.
enum class TelemetryKind { kNvml, kCaller, kSimulated };

struct TelemetryConfig {
  TelemetryKind kind = TelemetryKind::kNvml;
  // Of NVML:
  std::string gpu = "0";  ///< index or UUID
  std::string library = "libnvidia-ml.so.1";
  // Of a simulated GPU:
  std::string plant{};       ///< its parameters
  std::string cost_model{};  ///< what kernels really cost on it
  double energy_scale = 1.0;
  std::uint64_t seed = 1;
};

/// Where Prometheus finds the controller, and as whose.
struct MetricsConfig {
  std::uint16_t port = 0;  ///< 0: any that is free
  std::string address = "127.0.0.1";
  std::string model_name{}, engine = "0";  ///< labels, as vLLM has them
};

/// What docs/engines.md documents. Files are not opened yet, but their paths are whole.
struct EngineConfig {
  std::string path{};  ///< of the file, or "configuration", for messages
  /// But for costs, thermal model, calibration and what else follows from the cost model.
  ControllerConfig control{};
  bool by_mask = false;    ///< the engine applies masks, not plans
  bool own_thread = true;  ///< of the controller's
  int calibration_samples = 8;
  std::string cost_model{};
  std::string costed_as{};             ///< a name of the cost model's ...
  std::optional<ExpertShape> shape{};  ///< ... or a shape of its tables
  std::string dtype = "bf16";
  std::optional<std::string> engine{};  ///< whose whole steps are costed
  std::optional<double> context{};
  std::optional<Seconds> sensor_delay{}, sensor_window{};  ///< absent: as the cost model says
  TelemetryConfig telemetry{};
  std::optional<MetricsConfig> metrics{};  ///< absent: nothing listens
};

/// Of JSON text, or of a file where the first letter is no brace. Throws FormatError.
EngineConfig read_engine_config(const std::string& text_or_path);

}  // namespace thermoe
