// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CUDA backend, as cpu/backends.h is the CPU's: the dispatchers beside the public headers check
// what the host can know; these trust it. Nothing here allocates or synchronises. In programs
// without CUDA, absent.cpp refuses each.
namespace thermoe::cuda {}  // namespace thermoe::cuda
