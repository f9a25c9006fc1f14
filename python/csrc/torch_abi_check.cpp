// SPDX-License-Identifier: Apache-2.0
// Compiled, and not linked, where there is a torch: its declarations and ours have to be the same,
// or this does not compile.
#define TORCH_TARGET_VERSION (((0ULL + 2) << 56) | ((0ULL + 10) << 48))
#include <torch/csrc/stable/c/shim.h>

#include "torch_abi.h"

static_assert(thermoe::torch_ops::kAbiVersion == TORCH_TARGET_VERSION);
static_assert(AOTI_TORCH_SUCCESS == 0);
