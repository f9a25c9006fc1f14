// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "machine/simulated/simulated_gpu.h"
#include "telemetry/source.h"

namespace thermoe {

/// What a simulated GPU does at time `t`: a minute of idle, light, full and capped load, over and
/// over. Invented, to have something to look at; step time and energy are of the size measured for
/// an H100 that decodes (docs/plant.md).
struct SimulatedLoad {
  GpuWork work{};
  GpuDisturbance disturbance{};
};
SimulatedLoad simulated_load(Seconds t);

/// A simulated GPU that lives from `start` on under `simulated_load`, for demonstrations without a
/// GPU.
/// Snapshots say `simulated`. Of a pause between two reads only the last seconds are simulated.
class SimulatedLoadSource final : public Source {
 public:
  SimulatedLoadSource(const SimulatedGpuConfig& config, Seconds start);

  std::string_view name() const override { return "simulated"; }

 private:
  Snapshot poll(Seconds now) override;
  SimulatedGpu gpu_;
  Seconds last_read_;
};

}  // namespace thermoe
