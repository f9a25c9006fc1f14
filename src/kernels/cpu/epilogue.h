// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cpu/activations.h"
#include "kernels/expert_bank.h"
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

/// What an expert does between its matrices.
inline Epilogue epilogue_of(ExpertKind kind) {
  switch (kind) {
    case ExpertKind::kSwiGlu:
      return Epilogue::kSiluMul;
    case ExpertKind::kRelu:
      return Epilogue::kRelu;
    case ExpertKind::kGelu:
      return Epilogue::kGelu;
  }
  return Epilogue::kNone;
}

}  // namespace thermoe::cpu
