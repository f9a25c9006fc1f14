// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <vector>

namespace thermoe {

/// Cosine annealing with warm restarts (Loshchilov and Hutter, SGDR, eq. (5); docs/theory.md eq.
/// (18)), which LibTorch's C++ lacks. Period i lasts first_period * multiplier^i steps.
struct CosineCycle {
  double rate_max = 1e-3;
  double rate_min = 0.0;
  int first_period = 100;
  int multiplier = 1;

  /// Learning rate of step 0, 1, 2, ...; the maximum at each restart.
  double rate(long step) const;
};

/// The schedule on an optimizer: construct (sets step 0's rate), then `step()` after each update.
/// Every parameter group gets the same rate.
class CosineWarmRestarts final : public torch::optim::LRScheduler {
 public:
  /// Requires first_period >= 1, multiplier >= 1, 0 <= rate_min <= rate_max.
  CosineWarmRestarts(torch::optim::Optimizer& optimizer, const CosineCycle& cycle);

 private:
  std::vector<double> get_lrs() override;

  CosineCycle cycle_;
  std::size_t groups_;
};

}  // namespace thermoe
