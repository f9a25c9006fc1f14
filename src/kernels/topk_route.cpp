// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cpu/workspace_rows.h"

namespace thermoe {
namespace {

void check_router(const TopkRouteArgs& a) {
  THERMOE_EXPECT(a.router, "router is null");
  const auto problem = find_shape_problem(*a.router);
  THERMOE_EXPECT(!problem, "router.{}: {}", problem->key, problem->problem);
  THERMOE_EXPECT(a.router->experts <= kMaxExperts, "experts={} is outside 1..{}", a.router->experts,
                 kMaxExperts);
  for (const float b : a.router->layer_bias(a.layer)) {
    THERMOE_EXPECT(std::isfinite(b), "router.selection_bias holds {}; biases must be finite", b);
  }
}

void check_shape(const TopkRouteArgs& a) {
  THERMOE_EXPECT(a.tokens >= 0, "tokens={} is negative", a.tokens);
  const int valid = a.valid.value_or(0);
  THERMOE_EXPECT(valid >= 0 && valid <= a.tokens, "valid={} is outside 0..tokens={}", valid,
                 a.tokens);
  const auto experts = static_cast<std::size_t>(a.router->experts);
  const auto tokens = static_cast<std::size_t>(a.tokens);
  const auto expect = [](const char* name, std::size_t size, std::size_t wanted) {
    THERMOE_EXPECT(size == 0 || size == wanted, "{} has {} entries, must have {}", name, size,
                   wanted);
  };
  expect("selection_bias", a.plan.selection_bias.size(), experts);
  expect("activation_price", a.plan.activation_price.size(), experts);
  expect("k_per_token", a.plan.k_per_token.size(), tokens);
  expect("k_min_per_token", a.plan.k_min_per_token.size(), tokens);
  THERMOE_EXPECT(a.counts && a.workspace, "counts or workspace is null");
  THERMOE_EXPECT(a.tokens == 0 || (a.logits.data && a.expert && a.weight),
                 "logits, expert or weight is null");
}

void check_picks(const TopkRouteArgs& a) {
  const int k = a.plan.k.value_or(a.router->k);
  THERMOE_EXPECT(k >= 1 && k <= a.router->experts, "k={} is outside 1..experts={}", k,
                 a.router->experts);
  THERMOE_EXPECT(a.plan.k_min >= 1 && a.plan.k_min <= k, "k_min={} is outside 1..k={}",
                 a.plan.k_min, k);
  if (a.plan.k_per_token.empty()) {
    THERMOE_EXPECT(k <= a.slots, "k={} exceeds slots={}", k, a.slots);
  }
  for (const int own : a.plan.k_per_token) {
    THERMOE_EXPECT(own >= 1 && own <= a.slots && own <= a.router->experts,
                   "a token's k={} is outside 1..min(slots={}, experts={})", own, a.slots,
                   a.router->experts);
  }
  for (std::size_t t = 0; t < a.plan.k_min_per_token.size(); ++t) {
    const int own = a.plan.k_min_per_token[t];
    const int most = a.plan.k_per_token.empty() ? k : a.plan.k_per_token[t];
    THERMOE_EXPECT(own >= 1 && own <= most, "a token's k_min={} is outside 1..k={}", own, most);
  }
}

void check_values(const TopkRouteArgs& a) {
  for (const float b : a.plan.selection_bias) {
    THERMOE_EXPECT(std::isfinite(b), "selection_bias holds {}; biases must be finite", b);
  }
  for (const float price : a.plan.activation_price) {
    THERMOE_EXPECT(price >= 0.0F, "activation_price holds {}; prices must be >= 0", price);
  }
}

}  // namespace

void TopkRouteWorkspace::reserve(int experts) {
  const std::size_t row = cpu::WorkspaceRows::row_of(experts);
  const auto grow = [](auto& v, std::size_t n) { v.resize(std::max(v.size(), n)); };
  grow(values, cpu::WorkspaceRows::kValueRows * row);
  grow(ids, cpu::WorkspaceRows::kTokenRows * row);
  grow(flags, cpu::WorkspaceRows::kFlagRows * row);
}

void topk_route(const TopkRouteArgs& args) {
  check_router(args);
  check_shape(args);
  check_picks(args);
  check_values(args);
  args.workspace->reserve(args.router->experts);
  cpu::topk_route(args, cpu::best_isa());
}

}  // namespace thermoe
