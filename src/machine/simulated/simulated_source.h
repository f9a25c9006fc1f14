// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "machine/disturbance.h"
#include "machine/simulated/simulated_gpu.h"
#include "telemetry/source.h"

namespace thermoe {

/// Reads a simulated GPU's sensors as they stand at the poll's time; snapshots say `simulated`.
class SimulatedSource final : public Source {
 public:
  /// `gpu` must outlive the source. It is polled on its own time line (0 at its construction).
  explicit SimulatedSource(const SimulatedGpu& gpu) : gpu_(gpu) {}

  std::string_view name() const override { return "simulated"; }

 private:
  Snapshot poll(Seconds now) override;
  const SimulatedGpu& gpu_;
};

/// Such a source, broken where the disturbances say so.
std::unique_ptr<Source> open_simulated_sensors(const SimulatedGpu& gpu,
                                               const std::vector<Disturbance>& disturbances);

}  // namespace thermoe
