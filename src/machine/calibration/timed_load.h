// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <vector>

#include "core/clock.h"
#include "machine/calibration/calibration_record.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// Another load that notes each of its steps. `steps` may be called from any thread.
class TimedLoad final : public StepLoad {
 public:
  /// Both must outlive it.
  TimedLoad(StepLoad& load, const Clock& clock) : load_(load), clock_(clock) {}

  void stage(const StagedStep& step) override;
  Seconds run() override;
  const RoutedPicks& picks() const override { return load_.picks(); }

  /// Those that ended so far.
  std::vector<TimedStep> steps() const;

 private:
  StepLoad& load_;
  const Clock& clock_;
  bool staged_ = false;  // since the last run
  mutable std::mutex mutex_;
  std::vector<TimedStep> steps_{};
};

}  // namespace thermoe
