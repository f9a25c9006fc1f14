// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <algorithm>
#include <cstdint>

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cuda/backends.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

void check(Backend backend, const GroupedExpertsArgs& a) {
  THERMOE_EXPECT(a.bank.holds(0) || a.bank.holds(1), "the expert bank is empty");
  THERMOE_EXPECT(a.bank.shape.experts >= 1 && a.bank.shape.experts <= kMaxExperts,
                 "experts={} is outside 1..{}", a.bank.shape.experts, kMaxExperts);
  THERMOE_EXPECT(a.tokens >= 0 && a.slots >= 1, "tokens={} or slots={} is out of range", a.tokens,
                 a.slots);
  const std::int64_t picks = std::int64_t{a.tokens} * a.slots;
  THERMOE_EXPECT(picks <= INT32_MAX, "tokens={} x slots={} is more than {}", a.tokens, a.slots,
                 INT32_MAX);
  THERMOE_EXPECT(a.tokens == 0 || (a.hidden && a.expert && a.weight && a.out),
                 "hidden, expert, weight or out is null");
  THERMOE_EXPECT(a.tokens == 0 || (a.order.first && a.order.pair), "the expert order is null");
  const std::size_t size = grouped_experts_workspace(backend, a.bank.shape, a.tokens, a.slots);
  THERMOE_EXPECT(a.workspace_size >= size && (a.workspace || size == 0),
                 "a workspace of {} bytes; {} are needed", a.workspace_size, size);
}

/// What only the host's own memory tells.
void check_values(const GroupedExpertsArgs& a) {
  const int experts = a.bank.shape.experts;
  for (int e = 0; a.variant && e < experts; ++e) {
    THERMOE_EXPECT(a.bank.holds(a.variant[e]),
                   "expert {} is asked for variant {}, which the bank does not hold", e,
                   a.variant[e]);
  }
  if (a.tokens == 0) return;
  const std::int32_t picks = a.tokens * a.slots;
  std::int32_t filled = 0;
  for (std::int32_t i = 0; i < picks; ++i) {
    THERMOE_EXPECT(a.expert[i] >= -1 && a.expert[i] < experts, "expert id {} is outside -1..{}",
                   a.expert[i], experts - 1);
    filled += a.expert[i] >= 0 ? 1 : 0;
  }
  THERMOE_EXPECT(a.order.first[0] == 0 && a.order.first[experts] == filled,
                 "the expert order holds picks {}..{}; {} slots are filled", a.order.first[0],
                 a.order.first[experts], filled);
  for (int e = 0; e < experts; ++e) {
    std::int32_t before = -1;
    for (std::int32_t i = a.order.first[e]; i < a.order.first[e + 1]; ++i) {
      THERMOE_EXPECT(i >= 0 && i < filled && a.order.pair[i] > before && a.order.pair[i] < picks &&
                         a.expert[a.order.pair[i]] == e,
                     "order.pair[{}] is no next pick of expert {}", i, e);
      before = a.order.pair[i];
    }
  }
}

void check_cuda(const GroupedExpertsArgs& a) {
  THERMOE_EXPECT(!a.bank.has_f32(),
                 "the cuda backend runs bf16 and int4 experts; these are f32, not exact in bf16");
  THERMOE_EXPECT(a.slots <= kMaxExperts, "slots={} is more than {}", a.slots, kMaxExperts);
  THERMOE_EXPECT(reinterpret_cast<std::uintptr_t>(a.hidden) % 16 == 0,
                 "hidden is not aligned to 16 bytes");
  // Kernels count elements of rows in 32 bits.
  const std::int64_t picks = std::int64_t{a.tokens} * a.slots;
  const std::int64_t cells = std::max(a.tokens * std::int64_t{a.bank.shape.padded_model()},
                                      picks * a.bank.shape.padded_ff());
  THERMOE_EXPECT(cells <= UINT32_MAX, "tokens={} of slots={}: more than {} activations", a.tokens,
                 a.slots, UINT32_MAX);
}

}  // namespace

std::size_t grouped_experts_workspace(Backend backend, const ExpertLayerShape& shape, int tokens,
                                      int slots) {
  if (backend == Backend::kCpu) return cpu::grouped_experts_workspace(shape);
  return cuda::grouped_experts_workspace(shape, tokens, slots);
}

void grouped_experts(Backend backend, const GroupedExpertsArgs& args, Stream stream) {
  check(backend, args);
  switch (backend) {
    case Backend::kCpu:
      THERMOE_EXPECT(args.hidden_type == FloatType::kF32 && args.out_type == FloatType::kF32,
                     "the cpu backend runs experts on f32 activations only");
      check_values(args);
      return cpu::grouped_experts(args, cpu::best_isa());
    case Backend::kCuda:
      check_cuda(args);
      return cuda::grouped_experts(args, stream);
    case Backend::kTriton:
      throw UsageError("grouped_experts has no Triton kernel; use the backend cuda");
  }
}

}  // namespace thermoe
