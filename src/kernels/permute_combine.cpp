// SPDX-License-Identifier: Apache-2.0
#include "kernels/permute_combine.h"

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cuda/backends.h"

namespace thermoe {
namespace {

void check_rows(FloatType type, int tokens, int slots, int width) {
  THERMOE_EXPECT(type != FloatType::kF16, "permute and combine take f32 and bf16, not f16");
  THERMOE_EXPECT(tokens >= 0 && slots >= 1 && width >= 1,
                 "tokens={}, slots={} or width={} is out of range", tokens, slots, width);
  THERMOE_EXPECT(std::int64_t{tokens} * slots <= INT32_MAX, "tokens={} x slots={} is more than {}",
                 tokens, slots, INT32_MAX);
}

/// Runs the backend's own function of an op.
template <class Args>
void dispatch(Backend backend, const Args& args, Stream stream, void (*cpu)(const Args&),
              void (*cuda)(const Args&, Stream)) {
  switch (backend) {
    case Backend::kCpu:
      return cpu(args);
    case Backend::kCuda:
      return cuda(args, stream);
    case Backend::kTriton:
      throw UsageError("permute and combine have no Triton kernel");
  }
}

}  // namespace

void permute(Backend backend, const PermuteArgs& a, Stream stream) {
  check_rows(a.type, a.tokens, a.slots, a.width);
  THERMOE_EXPECT(a.experts >= 1, "experts={} must be at least 1", a.experts);
  if (a.tokens == 0) return;
  THERMOE_EXPECT(a.x && a.expert && a.rows && a.row, "x, expert, rows or row is null");
  THERMOE_EXPECT(a.order.first && a.order.pair, "the expert order is null");
  dispatch(backend, a, stream, cpu::permute, cuda::permute);
}

void combine(Backend backend, const CombineArgs& a, Stream stream) {
  check_rows(a.type, a.tokens, a.slots, a.width);
  if (a.tokens == 0) return;
  THERMOE_EXPECT(a.rows && a.row && a.out, "rows, row or out is null");
  dispatch(backend, a, stream, cpu::combine, cuda::combine);
}

void combine_backward(Backend backend, const CombineBackwardArgs& a, Stream stream) {
  check_rows(a.type, a.tokens, a.slots, a.width);
  if (a.tokens == 0) return;
  THERMOE_EXPECT(a.grad_out && a.rows && a.row && a.weight && a.filled,
                 "grad_out, rows, row, weight or filled is null");
  THERMOE_EXPECT(a.grad_rows && a.grad_weight, "grad_rows or grad_weight is null");
  dispatch(backend, a, stream, cpu::combine_backward, cuda::combine_backward);
}

}  // namespace thermoe
