// SPDX-License-Identifier: Apache-2.0
#include "kernels/triton/compiled_kernel.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "core/errors.h"
#include "kernels/cuda/check.h"
#include "kernels/triton/backends.h"
#include "kernels/triton_kernels.h"

namespace thermoe::triton {
namespace {

constexpr CompiledKernel kKernels[] = {
#include "kernels/triton_kernels.inc"
};
constexpr std::size_t kCount = std::size(kKernels);
using Functions = std::array<cudaKernel_t, kCount>;

/// A library belongs to no device: the driver brings a kernel to each that launches it.
cudaKernel_t load(const CompiledKernel& kernel) {
  cudaLibrary_t library = nullptr;
  cuda::check(cudaLibraryLoadData(&library, embedded_triton_kernels().data() + kernel.offset,
                                  nullptr, nullptr, 0, nullptr, nullptr, 0),
              "cudaLibraryLoadData");
  cudaKernel_t function = nullptr;
  cuda::check(cudaLibraryGetKernel(&function, library, std::string(kernel.name).c_str()),
              "cudaLibraryGetKernel");
  return function;
}

/// Throws UsageError where there is a `problem`.
Functions load_all() {
  if (const auto reason = problem()) throw UsageError(*reason);
  // Loading touches no stream: a capture that is going on need not forbid it.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  cuda::check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
  Functions all{};
  std::ranges::transform(kKernels, all.begin(), load);
  cuda::check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
  return all;
}

/// Loaded by the first call.
const Functions& functions() {
  static const Functions loaded = load_all();
  return loaded;
}

}  // namespace

std::optional<std::string> problem() {
  if (auto reason = device_problem()) return reason;
  const int major = cuda::device_attribute(cudaDevAttrComputeCapabilityMajor);
  const int minor = cuda::device_attribute(cudaDevAttrComputeCapabilityMinor);
  if (major == 9 && minor == 0) return std::nullopt;
  return fmt::format(
      "the Triton kernels are compiled for compute capability 9.0, the CUDA device has {}.{}; use "
      "the backend cuda",
      major, minor);
}

void prepare() { static_cast<void>(functions()); }

const CompiledKernel& choose(std::string_view name, FloatType type, int size, int tokens) {
  const CompiledKernel* best = nullptr;
  for (const CompiledKernel& kernel : kKernels) {
    if (kernel.name != name || kernel.type != type || kernel.size < size) continue;
    if (best && (kernel.size != best->size || best->tokens >= tokens)) break;
    best = &kernel;
  }
  THERMOE_EXPECT(best, "no Triton kernel {} of size {} was compiled", name, size);
  return *best;
}

void launch(const CompiledKernel& kernel, unsigned programs, unsigned rows, const void** parameters,
            Stream stream) {
  const cudaKernel_t function = functions()[static_cast<std::size_t>(&kernel - kKernels)];
  constexpr unsigned kWarp = 32;
  cuda::check(cudaLaunchKernel(reinterpret_cast<const void*>(function), dim3(programs, rows),
                               dim3(kWarp * static_cast<unsigned>(kernel.warps)),
                               const_cast<void**>(parameters),
                               static_cast<std::size_t>(kernel.shared), cuda::native(stream)),
              kernel.name.data());
}

}  // namespace thermoe::triton
