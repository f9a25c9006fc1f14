// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace thermoe {

/// Expected share of expert energy that a decode batch activates, in [0, 1] (docs/theory.md,
/// "Training"): sum_e a_e [1 - prod_t (1 - q_te)] / sum_e a_e, averaged over batches, where the
/// product runs over the tokens decoded together and q_te = 1 - (1 - p_te)^k is the probability
/// that k draws from p pick e. With identical experts this is the only hardware term with a
/// gradient for the router: expected load does not depend on it.
///
/// probabilities [sequences, positions, experts]; `decode_batch` sequences at one position form a
/// batch (a remainder of sequences is left out; decode_batch is cut to the number of sequences);
/// activation_cost [experts] or undefined for equal costs.
at::Tensor compute_energy_loss(const at::Tensor& probabilities, std::int64_t k,
                               std::int64_t decode_batch, const at::Tensor& activation_cost = {});

}  // namespace thermoe
