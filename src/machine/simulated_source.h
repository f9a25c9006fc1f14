// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/clock.h"
#include "machine/simulated_gpu.h"
#include "telemetry/source.h"

namespace thermoe {

/// Reads a simulated GPU's sensors as they stand at the clock's time; snapshots say `simulated`.
class SimulatedSource final : public Source {
 public:
  /// Both must outlive the source. The clock shows the GPU's own time line (0 at its construction).
  SimulatedSource(const SimulatedGpu& gpu, const Clock& clock) : gpu_(gpu), clock_(clock) {}

  Snapshot read() override;
  std::string_view name() const override { return "simulated"; }

 private:
  const SimulatedGpu& gpu_;
  const Clock& clock_;
};

}  // namespace thermoe
