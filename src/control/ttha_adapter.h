// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "control/controller_config.h"
#include "control/plan_adapter.h"

namespace thermoe {

/// The test-time adapter: multi-head attention over the experts of a layer, linear, layer norm,
/// GELU, and two heads that start at zero, so that it starts as the prior policy. Learns online by
/// AdamW with warm restarts on a differentiable surrogate of (P) (docs/theory.md section 6).
/// Deterministic in the config's seed. A few milliseconds an update on one core at 4 x 128 experts;
/// sets no thread count.
class TthaAdapter final : public PlanAdapter {
 public:
  explicit TthaAdapter(const ControllerConfig& config);
  ~TthaAdapter() override;

  AdapterOutput update_ttha(const AdapterTick& tick) override;
  void restart() override;

 private:
  struct Implementation;  // keeps LibTorch out of this header
  ControllerConfig config_;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace thermoe
