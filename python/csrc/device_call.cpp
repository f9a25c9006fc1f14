// SPDX-License-Identifier: Apache-2.0
#include "device_call.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/errors.h"

namespace thermoe::torch_ops {
namespace {

#ifdef THERMOE_CUDA
/// The part of torch's ABI that only its builds for CUDA have; found at run time, so that one
/// library of ours serves the others too.
struct CudaAbi {
  AOTITorchError (*current_stream)(std::int32_t device, void** stream);
  AOTITorchError (*create_guard)(std::int32_t device, void** guard);
  AOTITorchError (*delete_guard)(void* guard);
};

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function)
    throw UsageError(fmt::format("this torch has no {}; thermoe needs 2.10 or later", name));
}

const CudaAbi& cuda_abi() {
  static const CudaAbi abi = [] {
    // torch loaded it, or there would be no CUDA tensor.
    void* const library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    if (!library) throw UsageError("this torch was built without CUDA: it has no libtorch_cuda.so");
    CudaAbi found{};
    find(library, "aoti_torch_get_current_cuda_stream", found.current_stream);
    find(library, "aoti_torch_create_cuda_guard", found.create_guard);
    find(library, "aoti_torch_delete_cuda_guard", found.delete_guard);
    return found;
  }();
  return abi;
}
#endif

}  // namespace

void expect_built_for([[maybe_unused]] Backend backend) {
#ifndef THERMOE_CUDA
  if (backend == Backend::kCuda) {
    throw UsageError(
        "this thermoe package was built without CUDA, and a tensor is on a CUDA device: move it "
        "with .cpu(), or build "
        "the package again where nvcc (CUDA toolkit 12.8 or later) is: pip install "
        "--force-reinstall ./python "
        "--config-settings=cmake.define.THERMOE_CUDA=ON");
  }
#endif
}

DeviceCall::DeviceCall(Backend backend, [[maybe_unused]] const Tensor& tensor) {
  expect_built_for(backend);
#ifdef THERMOE_CUDA
  if (backend == Backend::kCpu) return;
  const std::int32_t device = tensor.device_index();
  check(cuda_abi().current_stream(device, &stream_.handle), "aoti_torch_get_current_cuda_stream");
  check(cuda_abi().create_guard(device, &guard_), "aoti_torch_create_cuda_guard");
#endif
}

DeviceCall::~DeviceCall() {
#ifdef THERMOE_CUDA
  if (guard_) cuda_abi().delete_guard(guard_);
#endif
}

}  // namespace thermoe::torch_ops

extern "C" bool thermoe_built_with_cuda() {
#ifdef THERMOE_CUDA
  return true;
#else
  return false;
#endif
}
