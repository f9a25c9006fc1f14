// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/router_spec.h"
#include "kernels/device_memory.h"
#include "kernels/device_plan.h"
#include "kernels/expert_bank_view.h"
#include "kernels/topk_route.h"
#include "moe/adaptive_router.h"

namespace thermoe {

/// Routing and experts of decode steps on the CUDA device, for a decoder whose other parts are on
/// the host: gate logits and hidden rows go there, picks and sums come back. Correct, not fast: it
/// waits for the device in every layer.
class DeviceStep {
 public:
  /// Experts of `shape` in each of `layers`. Throws UsageError where no device can be used.
  DeviceStep(const RouterSpec& router, const ExpertLayerShape& shape, int layers, int streams);

  /// Once a step, before its layers.
  void begin(const RoutingPlan& plan, std::uint64_t step);

  struct Layer {
    int layer = 0;
    ExpertBankView experts{};         ///< of device memory
    bool by_variant = false;          ///< precision as the plan says, else the bank's first
    int slots = 0;                    ///< picks a token under the plan
    std::span<const float> logits{};  ///< [streams, experts]
    std::span<const float> hidden{};  ///< [streams, d_model]
    std::span<float> out{};           ///< [streams, d_model]
  };
  /// Fills `layer.out`. The routing is valid until the next call.
  LayerRouting run(const Layer& layer);

 private:
  void route(const Layer& layer);
  void run_experts(const Layer& layer);
  LayerRouting fetch(const Layer& layer);

  RouterSpec router_;
  int streams_;
  DevicePlan plan_;
  DeviceMemory state_;  // StepState
  DeviceMemory bias_;   // [layers, experts], the router's own; empty if it has none
  DeviceMemory logits_, hidden_, out_;
  DeviceMemory expert_, weight_, counts_, kept_mass_, first_, pair_;
  DeviceMemory route_workspace_, expert_workspace_;

  std::vector<std::int32_t> host_expert_, host_counts_, host_first_, host_pair_;
  std::vector<float> host_weight_, host_kept_mass_;
};

}  // namespace thermoe
