// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "core/router_spec.h"
#include "cost/expert_shape.h"
#include "kernels/device_description.h"
#include "kernels/random_expert_bank.h"

namespace thermoe {

/// What a LoadProxy runs.
struct LoadProxyOptions {
  ExpertShape shape{};  ///< whose experts run, `layers` of them a step
  /// Of its experts. Both: each expert in its plan's variant.
  BankPrecisions precisions{};
  int tokens = 16;       ///< a step
  int model_layers = 1;  ///< of the model that decides, at most the shape's
  RouterSpec router{};   ///< its own, of the shape's number of experts
  /// Layers with weights of their own: layer j has those of j % distinct. Fewer than the shape has
  /// take less memory, and may lie in L2 when they are read again if they are few and small. 0:
  /// all.
  int distinct = 0;

  int distinct_layers() const { return distinct > 0 ? distinct : shape.layers; }
  /// Picks a token may have: one more than the model's, for plans whose k is a fraction.
  int slots() const { return router.k < shape.experts ? router.k + 1 : shape.experts; }
  ExpertLayerShape layer_shape() const;
  /// Bytes of all experts' weights.
  std::size_t weight_bytes() const;
  /// "48 layers of Qwen3-30B-A3B in bf16, each with weights of its own, 58.0 GB".
  std::string description() const;
};

/// Throws UsageError, naming value and limit, for what the kernels cannot run.
void check_options(const LoadProxyOptions& options);

/// Throws UsageError, with the remedies, where the device has no room for the weights.
void check_room(const LoadProxyOptions& options, const DeviceDescription& device);

}  // namespace thermoe
