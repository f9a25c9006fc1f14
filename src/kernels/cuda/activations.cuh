// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/float_type.h"
#include "kernels/fused_dequant_linear.h"

namespace thermoe::cuda {

__device__ inline float silu(float y) { return y / (1.0F + expf(-y)); }

/// The tanh form, as y * sigmoid(2 z): no cancellation below zero.
__device__ inline float gelu(float y) {
  constexpr float kSqrt2OverPi = 0.7978845608F;
  const float z = kSqrt2OverPi * (y + 0.044715F * y * y * y);
  return y / (1.0F + expf(-2.0F * z));
}

/// An epilogue of one argument; kSiluMul takes two and is its callers' matter.
__device__ inline float apply(Epilogue epilogue, float y) {
  switch (epilogue) {
    case Epilogue::kRelu:
      return fmaxf(y, 0.0F);
    case Epilogue::kGelu:
      return gelu(y);
    case Epilogue::kNone:
    case Epilogue::kSiluMul:
      break;
  }
  return y;
}

/// array[i] = value, rounded to the array's type.
__device__ inline void store_as(FloatType type, void* array, std::ptrdiff_t i, float value) {
  switch (type) {
    case FloatType::kF32:
      static_cast<float*>(array)[i] = value;
      return;
    case FloatType::kBf16:
      static_cast<__nv_bfloat16*>(array)[i] = __float2bfloat16_rn(value);
      return;
    case FloatType::kF16:
      static_cast<__half*>(array)[i] = __float2half_rn(value);
      return;
  }
}

}  // namespace thermoe::cuda
