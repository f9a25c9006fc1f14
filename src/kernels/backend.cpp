// SPDX-License-Identifier: Apache-2.0
#include "kernels/backend.h"

#include "core/named_values.h"
#include "kernels/device_memory.h"
#include "kernels/triton/backends.h"

namespace thermoe {
namespace {

constexpr NamedValues<Backend, 3> kBackends{{
    {Backend::kCpu, "cpu"},
    {Backend::kCuda, "cuda"},
    {Backend::kTriton, "triton"},
}};

}  // namespace

std::string_view to_string(Backend backend) { return name_of(kBackends, backend); }

std::optional<Backend> backend_from(std::string_view name) { return value_of(kBackends, name); }

std::optional<std::string> backend_problem(Backend backend) {
  if (backend == Backend::kCpu) return std::nullopt;
  return backend == Backend::kTriton ? triton::problem() : device_problem();
}

}  // namespace thermoe
