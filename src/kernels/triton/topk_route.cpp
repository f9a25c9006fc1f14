// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include "kernels/triton/backends.h"
#include "kernels/triton/compiled_kernel.h"

namespace thermoe::triton {

void topk_route(const TopkRouteArgs& a, Stream stream) {
  // Nothing in plain routing is a batch's.
  const auto tokens = static_cast<unsigned>(a.tokens) * static_cast<unsigned>(a.batches);
  if (tokens == 0) return;
  const RouterView& router = a.router;
  const CompiledKernel& kernel =
      choose("custom_topk_kernel", a.logits.type, router.experts, /*tokens=*/1);
  const int score = static_cast<int>(router.score);
  const int has_beta = router.bias != nullptr ? 1 : 0;
  const int divide = router.denominator != WeightDenominator::kNone ? 1 : 0;
  auto parameters = parameters_of(a.logits.data, router.bias, a.expert, a.weight, router.experts,
                                  router.k, a.slots, score, has_beta, divide, router.routed_scale);
  launch(kernel, tokens, 1, parameters.data(), stream);
}

}  // namespace thermoe::triton
