// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/expert_bank.h"
#include "kernels/fused_dequant_linear.h"

namespace thermoe {

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

}  // namespace thermoe
