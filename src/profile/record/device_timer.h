// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device_memory.h"
#include "kernels/device_stream.h"
#include "profile/record/cupti_activity.h"
#include "profile/record/op_timer.h"

namespace thermoe {

/// Times executions on the current CUDA device, in a stream of its own. The stream is held until a
/// burst of them is queued, so that they do not wait for the host, and between two stands a copy of
/// a few bytes, so that none starts while the one before it still runs. With CUPTI an execution's
/// span is from the start of its first kernel to the end of its last; without, from an event before
/// to an event behind it, launches included.
class DeviceTimer final : public OpTimer {
 public:
  /// `cupti`: null where it has a problem. `clock` must outlive it.
  DeviceTimer(std::unique_ptr<CuptiActivity> cupti, const Clock& clock);
  OpTiming time(const OpWork& work, const std::string& name, ExecutionCount count) override;

 private:
  struct Burst;
  void run_burst(const OpWork& work, const std::string& name, const Burst& burst, OpTiming& timing,
                 std::vector<CuptiKernel>& kernels);

  std::unique_ptr<CuptiActivity> cupti_;
  const Clock& clock_;
  DeviceStream stream_;
  DeviceMemory between_;
};

/// Adds the span of each execution that has kernels, in order, and one record for all kernels that
/// are alike. `op` names the point.
void add_kernels(std::span<const CuptiKernel> kernels, const std::string& op, OpTiming& timing);

}  // namespace thermoe
