// SPDX-License-Identifier: Apache-2.0
#include "core/errors.h"
#include "kernels/cuda/backends.h"

namespace thermoe::cuda {

std::size_t grouped_experts_workspace(const ExpertLayerShape& shape, int tokens, int slots) {
  const auto pairs = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(slots);
  return pairs * (2 * static_cast<std::size_t>(shape.padded_ff()) +
                  sizeof(float) * static_cast<std::size_t>(shape.padded_model()));
}

void grouped_experts(const GroupedExpertsArgs&, Stream) {
  throw UsageError("the cuda backend has no grouped experts yet");
}

}  // namespace thermoe::cuda
