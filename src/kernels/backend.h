// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thermoe {

/// Whose code runs an op. What the op's pointers mean follows from it: host memory for kCpu, memory
/// of the current CUDA device for the others.
enum class Backend : std::uint8_t {
  kCpu,     ///< single-threaded, on the calling thread
  kCuda,    ///< CUDA C++ (kernels/cuda); in the presets with THERMOE_CUDA only
  kTriton,  ///< Triton kernels compiled ahead of time, of two ops; with Triton, in the same presets
};
/// "cpu", "cuda", "triton".
std::string_view to_string(Backend backend);
std::optional<Backend> backend_from(std::string_view name);

/// A `cudaStream_t`, null for CUDA's default stream; an op of kCuda or kTriton runs in its order
/// and does not synchronise. The CPU backend has no use for it.
///
/// Of every op: a workspace holds nothing from one call to the next, so calls in one stream may
/// share it, and outputs may be written anew by the next layer's call. Beside what an op's header
/// says it throws UsageError for a backend that this program was built without, and CudaError
/// (kernels/device_memory.h) where CUDA refuses a call or there is no device. What a kernel does
/// wrong shows later, in `synchronise`.
struct Stream {
  void* handle;
};

/// Why the backend cannot run in this program or on this machine, with the remedy; nothing where it
/// can. Asks the driver for its devices.
std::optional<std::string> backend_problem(Backend backend);

}  // namespace thermoe
