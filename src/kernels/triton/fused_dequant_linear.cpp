// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include "kernels/triton/backends.h"
#include "kernels/triton/compiled_kernel.h"

namespace thermoe::triton {
namespace {

unsigned tiles(int count, int size) { return static_cast<unsigned>((count + size - 1) / size); }

}  // namespace

void fused_dequant_linear(const FusedDequantLinearArgs& a, Stream stream) {
  if (a.tokens == 0) return;
  const Int4View& w = a.weights;
  const CompiledKernel& kernel = choose("fused_dequant_linear_kernel", a.x_type, w.group, a.tokens);
  const int has_zeros = w.zero_points != nullptr ? 1 : 0;
  const int has_bias = a.bias != nullptr ? 1 : 0;
  const int epilogue = static_cast<int>(a.epilogue);
  const int out_type = static_cast<int>(a.out_type);
  auto parameters = parameters_of(a.x, w.words, w.scales, w.zero_points, a.bias, a.out, a.tokens,
                                  w.outputs, w.inputs, has_zeros, has_bias, epilogue, out_type);
  launch(kernel, tiles(w.outputs, kernel.outputs), tiles(a.tokens, kernel.tokens),
         parameters.data(), stream);
}

}  // namespace thermoe::triton
