// SPDX-License-Identifier: Apache-2.0
#include "moe/device.h"

#include <dlfcn.h>

#include <filesystem>

#include "core/errors.h"
#include "kernels/backend.h"

namespace thermoe {
namespace {

/// Must come before anything asks LibTorch about CUDA: it remembers the first answer. Loading twice
/// is harmless.
void load_cuda_half() {
  Dl_info info{};
  // Any symbol that is defined in libtorch_cpu says where LibTorch lies.
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &info) == 0) {
    throw UsageError("device cuda: cannot tell where LibTorch lies");
  }
  const auto library = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw UsageError(fmt::format("device cuda: {}; use a LibTorch with CUDA libraries", dlerror()));
  }
}

}  // namespace

at::Device torch_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda" && name.rfind("cuda:", 0) != 0) {
    throw UsageError(fmt::format("device \"{}\": must be cpu, cuda or cuda:N", name));
  }
  if (const auto problem = backend_problem(Backend::kCuda)) {
    throw UsageError(fmt::format("device cuda: {}", *problem));
  }
  load_cuda_half();
  if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) {
    throw UsageError("device cuda: no CUDA device found");
  }
  return at::Device(name);
}

}  // namespace thermoe
