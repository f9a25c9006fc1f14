// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cpu/activations.h"
#include "kernels/fused_dequant_linear.h"

namespace thermoe::cpu {

/// An epilogue of one argument; kSiluMul takes two and is its callers' matter.
template <int W>
THERMOE_INLINE Floats<W> apply(Epilogue epilogue, const Floats<W>& y) {
  switch (epilogue) {
    case Epilogue::kRelu:
      return relu(y);
    case Epilogue::kGelu:
      return gelu(y);
    case Epilogue::kNone:
    case Epilogue::kSiluMul:
      break;
  }
  return y;
}

}  // namespace thermoe::cpu
