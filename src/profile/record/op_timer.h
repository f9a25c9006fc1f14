// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/clock.h"
#include "cost/cost_table.h"
#include "profile/ops/op_work.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// What executing a point over and over showed.
struct OpTiming {
  CostSource source = CostSource::kTimed;
  std::vector<std::int64_t> spans_ns{};  ///< of single executions, in their order
  std::vector<KernelRecord> kernels{};   ///< of all of them together, where somebody lists them
};

struct ExecutionCount {
  int warm_up = 8;
  int timed = 64;
};

/// Executes a point and times each execution alone. Each lies in a range of the NVTX domain
/// `thermoe` with the point's name, where there is NVTX, warm-ups in none: whoever profiles this
/// program from outside finds the same executions.
class OpTimer {
 public:
  virtual ~OpTimer() = default;
  /// Throws CudaError where the device fails.
  virtual OpTiming time(const OpWork& work, const std::string& name, ExecutionCount count) = 0;
};

/// By a clock of the host, for what runs on it.
class HostTimer final : public OpTimer {
 public:
  explicit HostTimer(const Clock& clock) : clock_(clock) {}
  OpTiming time(const OpWork& work, const std::string& name, ExecutionCount count) override;

 private:
  const Clock& clock_;
};

}  // namespace thermoe
