// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moe/adaptive_router.h"

namespace thermoe {

/// What a router decided in every layer of one step. A router's own buffers serve the next layer;
/// these last the step. Allocates nothing after construction.
class StepRouting {
 public:
  StepRouting(int layers, int experts, int max_tokens);

  void keep(int layer, const LayerRouting& routing);
  /// [layers]; views into this object, valid until their layer is kept anew.
  std::span<const LayerRouting> layers() const { return layers_; }

 private:
  int experts_;
  int max_tokens_;
  std::vector<std::int32_t> expert_;  // [layers, max_tokens, experts], as picks may be all experts
  std::vector<float> weight_;         // likewise
  std::vector<std::int32_t> counts_;  // [layers, experts]
  std::vector<float> kept_mass_;      // [layers, max_tokens]
  std::vector<std::int32_t> first_;   // [layers, experts + 1]
  std::vector<std::int32_t> pair_;    // as expert_
  std::vector<LayerRouting> layers_;
};

}  // namespace thermoe
