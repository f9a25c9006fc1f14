// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cpu/workspace_rows.h"

namespace thermoe {
namespace {

void check_shape(const TopkRouteArgs& a) {
  THERMOE_EXPECT(a.experts >= 1 && a.experts <= kMaxExperts, "experts={} is outside 1..{}",
                 a.experts, kMaxExperts);
  THERMOE_EXPECT(a.tokens >= 0, "tokens={} is negative", a.tokens);
  THERMOE_EXPECT(a.k >= 1 && a.k <= a.experts, "k={} is outside 1..experts={}", a.k, a.experts);
  THERMOE_EXPECT(a.k_min >= 1 && a.k_min <= a.k, "k_min={} is outside 1..k={}", a.k_min, a.k);
  const auto experts = static_cast<std::size_t>(a.experts);
  THERMOE_EXPECT(a.selection_bias.empty() || a.selection_bias.size() == experts,
                 "selection_bias has {} entries for {} experts", a.selection_bias.size(),
                 a.experts);
  THERMOE_EXPECT(a.activation_price.empty() || a.activation_price.size() == experts,
                 "activation_price has {} entries for {} experts", a.activation_price.size(),
                 a.experts);
  THERMOE_EXPECT(
      a.k_per_token.empty() || a.k_per_token.size() == static_cast<std::size_t>(a.tokens),
      "k_per_token has {} entries for {} tokens", a.k_per_token.size(), a.tokens);
  THERMOE_EXPECT(a.counts && a.workspace, "counts or workspace is null");
  THERMOE_EXPECT(a.tokens == 0 || (a.logits && a.expert && a.weight),
                 "logits, expert or weight is null");
}

void check_values(const TopkRouteArgs& a) {
  if (a.k_per_token.empty()) {
    THERMOE_EXPECT(a.k <= a.slots, "k={} exceeds slots={}", a.k, a.slots);
  }
  for (const int k : a.k_per_token) {
    THERMOE_EXPECT(k >= 1 && k <= a.slots && k <= a.experts,
                   "a token's k={} is outside 1..min(slots={}, experts={})", k, a.slots, a.experts);
  }
  for (const float b : a.selection_bias) {
    THERMOE_EXPECT(std::isfinite(b), "selection_bias holds {}; biases must be finite", b);
  }
  for (const float price : a.activation_price) {
    THERMOE_EXPECT(price >= 0.0F, "activation_price holds {}; prices must be >= 0", price);
  }
}

}  // namespace

void TopkRouteWorkspace::reserve(int experts) {
  const std::size_t row = cpu::WorkspaceRows::row_of(experts);
  const auto grow = [](auto& v, std::size_t n) { v.resize(std::max(v.size(), n)); };
  grow(values, cpu::WorkspaceRows::kValueRows * row);
  grow(flags, cpu::WorkspaceRows::kFlagRows * row);
}

void topk_route(const TopkRouteArgs& args) {
  check_shape(args);
  check_values(args);
  args.workspace->reserve(args.experts);
  cpu::topk_route(args, cpu::best_isa());
}

}  // namespace thermoe
