// SPDX-License-Identifier: Apache-2.0
#include "cli/kernels_option.h"

#include <fmt/format.h>

#include "core/errors.h"

namespace thermoe {

CLI::Option* add_kernels_option(CLI::App& command, std::string& name) {
  return command
      .add_option("--kernels", name,
                  "What routing and experts run on: cpu, or cuda (a CUDA device and a cuda-release "
                  "build; bf16 and int4 experts). Attention and the rest stay where they are, so "
                  "that another device costs copies: for checking, not for speed")
      ->check(CLI::IsMember({"cpu", "cuda", "triton"}));
}

Backend checked_kernels(const std::string& name) {
  const Backend backend = backend_from(name).value();
  if (backend == Backend::kTriton) {
    throw UsageError(
        "--kernels triton: its kernels know neither plans nor whole experts; use cuda or cpu");
  }
  if (const auto problem = backend_problem(backend)) {
    throw UsageError(fmt::format("--kernels {}: {}", name, *problem));
  }
  return backend;
}

}  // namespace thermoe
