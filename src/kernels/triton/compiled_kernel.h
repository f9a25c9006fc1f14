// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/float_type.h"

namespace thermoe::triton {

/// A Triton kernel as python/thermoe/compile_triton.py made it: one for each choice of its
/// constexprs.
struct CompiledKernel {
  std::string_view name;
  FloatType type;      ///< of logits, of x
  int size;            ///< most experts; inputs in a group
  int tokens;          ///< that one program works on
  int outputs;         ///< that one program works on
  int warps;           ///< of a program
  int shared;          ///< bytes of shared memory
  std::size_t offset;  ///< of the cubin in what is embedded
  std::size_t bytes;   ///< of the cubin
};

/// The one of the least sufficient size; of these, of the least sufficient tokens, or else the
/// most.
const CompiledKernel& choose(std::string_view name, FloatType type, int size, int tokens);

/// Launches `kernel` on programs x rows. `parameters` point to the kernel's arguments, in order.
void launch(const CompiledKernel& kernel, unsigned programs, unsigned rows, const void** parameters,
            Stream stream);

/// The parameters of a launch: pointers to `arguments`, and to two more that every Triton kernel
/// has, for scratch memory. These kernels need none.
template <class... Arguments>
auto parameters_of(const Arguments&... arguments) {
  static constexpr void* kNone = nullptr;
  return std::array<const void*, sizeof...(Arguments) + 2>{&arguments..., &kNone, &kNone};
}

}  // namespace thermoe::triton
