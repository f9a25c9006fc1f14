// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cpu/workspace_rows.h"
#include "kernels/cuda/backends.h"
#include "kernels/triton/backends.h"

namespace thermoe {
namespace {

void check_router(const RouterView& router) {
  const RouterSpec spec{.experts = router.experts,
                        .k = router.k,
                        .score = router.score,
                        .groups = router.groups,
                        .groups_kept = router.groups_kept,
                        .denominator = router.denominator,
                        .routed_scale = router.routed_scale,
                        .loss_scores = router.loss_scores};
  const auto problem = find_shape_problem(spec);
  THERMOE_EXPECT(!problem, "router.{}: {}", problem->key, problem->problem);
  THERMOE_EXPECT(router.experts <= kMaxExperts, "experts={} is outside 1..{}", router.experts,
                 kMaxExperts);
}

void check_sample(const TopkRouteArgs& a) {
  const LogitSlots& s = a.sample;
  THERMOE_EXPECT(s.slot, "sample.slot is null: the word that says which slot a call fills");
  THERMOE_EXPECT(a.batches == 1, "a sample is of one batch, not of {}", a.batches);
  THERMOE_EXPECT(s.rows >= 0, "sample.rows={} is negative", s.rows);
  const std::int64_t size = std::int64_t{s.rows} * a.router.experts;
  THERMOE_EXPECT(s.distance >= size,
                 "sample.distance={} is less than a slot's rows={} x experts={}", s.distance,
                 s.rows, a.router.experts);
}

void check_shape(Backend backend, const TopkRouteArgs& a) {
  THERMOE_EXPECT(a.tokens >= 0 && a.batches >= 0, "tokens={} or batches={} is negative", a.tokens,
                 a.batches);
  THERMOE_EXPECT(a.slots >= 1, "slots={} must be 1 or more", a.slots);
  const bool any = a.tokens > 0 && a.batches > 0;
  THERMOE_EXPECT(a.counts || backend == Backend::kTriton, "counts is null");
  THERMOE_EXPECT(!any || (a.logits.data && a.expert && a.weight),
                 "logits, expert or weight is null");
  THERMOE_EXPECT(!any || !a.order.first || a.order.pair, "an order needs both first and pair");
  THERMOE_EXPECT(!a.order.first || a.batches == 1, "an order is of one batch, not of {}",
                 a.batches);
  if (a.sample.logits) check_sample(a);
  const std::size_t wanted = topk_route_workspace(backend, a.router, a.tokens, a.slots);
  THERMOE_EXPECT(wanted == 0 || (a.workspace && a.workspace_size >= wanted),
                 "workspace_size={} is less than {}", a.workspace ? a.workspace_size : 0, wanted);
}

/// What would lead out of the caller's memory; only the host's can be looked at.
void check_host_values(const TopkRouteArgs& a) {
  const int experts = a.router.experts;
  int most = a.router.k;
  if (a.plan.row) {
    const LayerPlan& row = *a.plan.row;
    THERMOE_EXPECT(row.k >= 1 && row.k <= experts, "k={} is outside 1..experts={}", row.k, experts);
    most = row.k + (row.extra_k_share > 0.0F && row.k < experts ? 1 : 0);
  }
  THERMOE_EXPECT(most <= a.slots, "k={} exceeds slots={}", most, a.slots);
  if (a.step) {
    const int valid = a.step->valid_tokens;
    THERMOE_EXPECT(valid >= StepState::kAllTokens && valid <= a.tokens,
                   "valid_tokens={} is outside 0..tokens={}", valid, a.tokens);
  }
}

/// It routes each token by the model alone.
void check_for_triton(const TopkRouteArgs& a) {
  const auto lacks = [](bool wanted, const char* what) {
    THERMOE_EXPECT(!wanted, "topk_route of the backend triton has no {}; use the backend cuda",
                   what);
  };
  lacks(a.router.group_limited(), "groups of experts");
  lacks(a.plan.row || a.plan.selection_bias || a.plan.activation_price, "plan (k, bias, prices)");
  lacks(a.step, "step state (padding, phase)");
  lacks(a.counts, "counts");
  lacks(a.kept_mass, "kept mass");
  lacks(a.masked_logits, "masked logits");
  lacks(a.order.first, "expert order");
  lacks(a.sample.logits, "sample of the logits");
  lacks(a.fill_slots, "filled slots");
  THERMOE_EXPECT(a.slots <= triton::kMaxSlots && a.router.k <= a.slots,
                 "k={} exceeds slots={}, or these exceed the {} of the backend triton", a.router.k,
                 a.slots, triton::kMaxSlots);
}

}  // namespace

RouterView::RouterView(const RouterSpec& spec, const float* layer_bias)
    : experts(spec.experts),
      k(spec.k),
      score(spec.score),
      groups(spec.groups),
      groups_kept(spec.groups_kept),
      denominator(spec.denominator),
      routed_scale(static_cast<float>(spec.routed_scale)),
      loss_scores(spec.loss_scores),
      bias(layer_bias) {}

RouterView::RouterView(const RouterSpec& spec, int layer)
    : RouterView(spec, spec.selection_bias.empty() ? nullptr : spec.layer_bias(layer).data()) {}

std::size_t topk_route_workspace(Backend backend, const RouterView& router, int tokens, int slots) {
  if (backend == Backend::kCpu) return cpu::WorkspaceRows::byte_size(router.experts);
  if (backend == Backend::kTriton) return 0;
  return cuda::topk_route_workspace(router, tokens, slots);
}

void topk_route(Backend backend, const TopkRouteArgs& args, Stream stream) {
  check_router(args.router);
  check_shape(backend, args);
  switch (backend) {
    case Backend::kCpu:
      check_host_values(args);
      return cpu::topk_route(args, cpu::best_isa());
    case Backend::kCuda:
      return cuda::topk_route(args, stream);
    case Backend::kTriton:
      check_for_triton(args);
      return triton::topk_route(args, stream);
  }
}

}  // namespace thermoe
