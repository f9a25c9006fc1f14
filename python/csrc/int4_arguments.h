// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/expert_bank_view.h"
#include "ops.h"

namespace thermoe::torch_ops {

/// The matrix [outputs, inputs] that the arrays hold, once their sizes are checked against it.
/// `name` is the arguments' prefix in messages, such as "up_". The group is inputs / scales'
/// groups.
Int4View int4_view(const Arguments& tensors, const Int4Arguments& matrix, const char* name,
                   std::int64_t outputs, std::int64_t inputs);
/// The same of each expert, in arrays with `experts` before their sizes.
Int4Matrices int4_matrices(const Arguments& tensors, const Int4Arguments& matrix, const char* name,
                           std::int64_t experts, std::int64_t outputs, std::int64_t inputs);

}  // namespace thermoe::torch_ops
