// SPDX-License-Identifier: Apache-2.0
#include "kernel_backend.h"

namespace thermoe {

std::vector<KernelBackend> kernel_backends() {
  std::vector<KernelBackend> all{
      {"cpu", false, true,
       [](const TopkRouteArgs& a) { topk_route(Backend::kCpu, a, Stream{nullptr}); },
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

std::vector<KernelBackend> linear_backends() { return kernel_backends(); }

}  // namespace thermoe
