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
  void (*topk_route)(const TopkRouteArgs&);
  void (*fused_dequant_linear)(const FusedDequantLinearArgs&);
  void (*grouped_experts)(const GroupedExpertsArgs&);
  void (*linear)(const LinearArgs&);
  void (*decode_attention)(const DecodeAttentionArgs&);
};

inline void PrintTo(const KernelBackend& backend, std::ostream* out) { *out << backend.name; }

/// The CPU backend as compiled for one instruction set. The public function goes first: it checks
/// the arguments and prepares the workspace.
template <cpu::Isa isa>
KernelBackend cpu_backend(const char* name) {
  return {
      .name = name,
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

/// Backends that this machine runs. A new one joins all suites with a line here (copying to its
/// device and back in a wrapper).
inline std::vector<KernelBackend> kernel_backends() {
  std::vector<KernelBackend> all{
      {"cpu", [](const TopkRouteArgs& a) { topk_route(Backend::kCpu, a, Stream{nullptr}); },
       [](const FusedDequantLinearArgs& a) {
         fused_dequant_linear(Backend::kCpu, a, Stream{nullptr});
       },
       [](const GroupedExpertsArgs& a) { grouped_experts(Backend::kCpu, a, Stream{nullptr}); },
       linear, decode_attention}};
  all.push_back(cpu_backend<cpu::Isa::kBaseline>("cpu_baseline"));
  if (supported(cpu::Isa::kAvx2)) all.push_back(cpu_backend<cpu::Isa::kAvx2>("cpu_avx2"));
  if (supported(cpu::Isa::kAvx512)) all.push_back(cpu_backend<cpu::Isa::kAvx512>("cpu_avx512"));
  return all;
}

/// Names the tests of a backend: TopkRoute/TopkRouteTest.X/cpu.
struct BackendName {
  template <class Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

}  // namespace thermoe
