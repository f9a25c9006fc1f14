// SPDX-License-Identifier: Apache-2.0
#include "moe/energy_loss.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

at::Tensor compute_energy_loss(const at::Tensor& probabilities, std::int64_t k,
                               std::int64_t decode_batch, const at::Tensor& activation_cost) {
  THERMOE_EXPECT(probabilities.dim() == 3, "probabilities must be [sequences, positions, experts]");
  THERMOE_EXPECT(k >= 1 && decode_batch >= 1, "k={} and decode_batch={} must be positive", k,
                 decode_batch);
  const std::int64_t sequences = probabilities.size(0);
  const std::int64_t batch = std::min(decode_batch, sequences);
  const std::int64_t batches = sequences / batch;
  // log prod_t (1 - q_te) = k * sum_t log(1 - p_te); p = 1 would be minus infinity.
  const at::Tensor log_miss =
      at::log1p(-probabilities.narrow(0, 0, batches * batch).clamp_max(1.0 - 1e-6))
          .view({batches, batch, probabilities.size(1), probabilities.size(2)})
          .sum(1) *
      static_cast<double>(k);
  const at::Tensor active = -at::expm1(log_miss);  // [batches, positions, experts]
  if (!activation_cost.defined()) return active.mean();
  return (active * (activation_cost / activation_cost.sum())).sum(-1).mean();
}

}  // namespace thermoe
