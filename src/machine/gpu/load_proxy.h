// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "machine/gpu/load_proxy_options.h"
#include "machine/gpu/step_load.h"

namespace thermoe {

/// The MoE layers of a decode step of a real model's shape on the current CUDA device, as one
/// captured graph: each layer routes by the gate logits of the model that decides, under the plan
/// on the device, and runs its experts on rows that stay the same. Weights and rows are random:
/// what they cost is real, what they mean is nothing. The shape's layer j routes by the model's
/// layer j * model_layers / layers.
class LoadProxy final : public StepLoad {
 public:
  /// Makes the weights and waits for them. Throws UsageError, with the remedy, for what
  /// check_options refuses, where no device can be used or it has no room; CudaError otherwise.
  explicit LoadProxy(LoadProxyOptions options);
  ~LoadProxy() override;

  /// Copies; the device is left alone. Throws PreconditionError for a step of another shape, or a
  /// plan with more experts a token than there are slots.
  void stage(const StagedStep& step) override;
  /// Waits without spinning.
  Seconds run() override;
  const RoutedPicks& picks() const override;

  const LoadProxyOptions& options() const;
  /// Bytes of device memory that it holds, which are the most that it ever held.
  std::size_t device_bytes() const;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
