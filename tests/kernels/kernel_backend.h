// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "kernels/cpu/backends.h"

namespace thermoe {

/// One implementation of the ops, on host memory. Every conformance suite runs for each of them.
struct KernelBackend {
  const char* name;
  /// Weights and activations that enter a product are rounded to bf16: f32 weights are refused.
  bool multiplies_bf16;
  /// It can look at plan and step before it runs, and refuse them.
  bool reads_host_memory;
  void (*topk_route)(const TopkRouteArgs&) = nullptr;  // null: it has none
  void (*fused_dequant_linear)(const FusedDequantLinearArgs&) = nullptr;
  void (*grouped_experts)(const GroupedExpertsArgs&) = nullptr;
  void (*linear)(const LinearArgs&) = nullptr;
  void (*decode_attention)(const DecodeAttentionArgs&) = nullptr;
  /// Its linear layer has the epilogue kSiluMul.
  bool gates = true;
  Backend needs = Backend::kCpu;  ///< tests are skipped where that has a problem
};

inline void PrintTo(const KernelBackend& backend, std::ostream* out) { *out << backend.name; }

/// The CPU backend as compiled for one instruction set. The public function goes first: it checks
/// the arguments and prepares the workspace.
template <cpu::Isa isa>
KernelBackend cpu_backend(const char* name) {
  return {
      .name = name,
      .multiplies_bf16 = false,
      .reads_host_memory = true,
      .topk_route =
          [](const TopkRouteArgs& a) {
            topk_route(Backend::kCpu, a, Stream{nullptr}), cpu::topk_route(a, isa);
          },
      .fused_dequant_linear =
          [](const FusedDequantLinearArgs& a) {
            fused_dequant_linear(Backend::kCpu, a, Stream{nullptr});
            cpu::fused_dequant_linear(a, isa);
          },
      .grouped_experts =
          [](const GroupedExpertsArgs& a) {
            grouped_experts(Backend::kCpu, a, Stream{nullptr}), cpu::grouped_experts(a, isa);
          },
      .linear = [](const LinearArgs& a) { linear(a), cpu::linear(a, isa); },
      .decode_attention =
          [](const DecodeAttentionArgs& a) { decode_attention(a), cpu::decode_attention(a, isa); }};
}

/// Backends that this program tests: the CPU's by instruction set in kernels_tests, those of a CUDA
/// device (which copy there and back) in kernels_gpu_tests.
std::vector<KernelBackend> kernel_backends();
/// These and those that only have `fused_dequant_linear`.
std::vector<KernelBackend> linear_backends();

/// Names the tests of a backend: TopkRoute/TopkRouteTest.X/cpu.
struct BackendName {
  template <class Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

}  // namespace thermoe
