// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <algorithm>

#include "core/errors.h"
#include "kernels/cpu/backends.h"

namespace thermoe {
namespace {

void check(const GroupedExpertsArgs& a) {
  THERMOE_EXPECT(a.bank && (a.bank->has_f32() || a.bank->has_int4()), "the expert bank is empty");
  THERMOE_EXPECT(a.workspace && a.counts, "workspace or counts is null");
  THERMOE_EXPECT(a.tokens >= 0 && a.slots >= 1, "tokens={} or slots={} is out of range", a.tokens,
                 a.slots);
  THERMOE_EXPECT(a.tokens == 0 || (a.hidden && a.expert && a.weight && a.out),
                 "hidden, expert, weight or out is null");
  const int experts = a.bank->shape().experts;
  THERMOE_EXPECT(a.variant.empty() || a.variant.size() == static_cast<std::size_t>(experts),
                 "variant has {} entries for {} experts", a.variant.size(), experts);
  for (std::size_t e = 0; e < a.variant.size(); ++e) {
    const int v = a.variant[e];
    const bool held = (v == 0 && a.bank->has_f32()) || (v == 1 && a.bank->has_int4());
    THERMOE_EXPECT(held, "expert {} is asked for variant {}, which the bank does not hold", e, v);
  }
}

/// Sorts picks by expert, tokens ascending, into the workspace.
void permute(const GroupedExpertsArgs& a) {
  GroupedExpertsWorkspace& w = *a.workspace;
  const int experts = a.bank->shape().experts;
  const std::int64_t cells = std::int64_t{a.tokens} * a.slots;
  std::fill_n(w.first.begin(), experts + 1, 0);
  for (std::int64_t i = 0; i < cells; ++i) {
    THERMOE_EXPECT(a.expert[i] >= -1 && a.expert[i] < experts, "expert id {} is outside -1..{}",
                   a.expert[i], experts - 1);
    if (a.expert[i] >= 0) ++w.first[static_cast<std::size_t>(a.expert[i]) + 1];
  }
  for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e) {
    THERMOE_EXPECT(w.first[e + 1] == a.counts[e], "counts[{}]={}, but {} slots hold the expert", e,
                   a.counts[e], w.first[e + 1]);
    w.first[e + 1] += w.first[e];
  }
  // Each expert's start moves along as it fills, ends at the next one's, and is moved back.
  for (std::int64_t i = 0; i < cells; ++i) {
    if (a.expert[i] < 0) continue;
    const auto at = static_cast<std::size_t>(w.first[static_cast<std::size_t>(a.expert[i])]++);
    w.token[at] = static_cast<std::int32_t>(i / a.slots);
    w.weight[at] = a.weight[i];
  }
  std::copy_backward(w.first.begin(), w.first.begin() + experts, w.first.begin() + experts + 1);
  w.first[0] = 0;
}

}  // namespace

void GroupedExpertsWorkspace::reserve(const ExpertLayerShape& shape, int tokens, int slots) {
  const auto grow = [](auto& v, std::size_t n) { v.resize(std::max(v.size(), n)); };
  const auto picks = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(slots);
  grow(first, static_cast<std::size_t>(shape.experts) + 1);
  grow(token, picks);
  grow(weight, picks);
  grow(hidden, static_cast<std::size_t>(kTokenBlock) * ((shape.d_ff + 15) / 16 * 16));
}

void grouped_experts(const GroupedExpertsArgs& args) {
  check(args);
  args.workspace->reserve(args.bank->shape(), args.tokens, args.slots);
  permute(args);
  cpu::grouped_experts(args, cpu::best_isa());
}

}  // namespace thermoe
