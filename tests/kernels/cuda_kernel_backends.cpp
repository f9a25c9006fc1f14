// SPDX-License-Identifier: Apache-2.0
#include "fused_dequant_linear_on_device.h"
#include "grouped_experts_on_device.h"
#include "kernel_backend.h"
#include "topk_route_on_device.h"

namespace thermoe {

std::vector<KernelBackend> kernel_backends() {
  return {{.name = "cuda",
           .multiplies_bf16 = true,
           .reads_host_memory = false,
           .topk_route = topk_route_on_device,
           .fused_dequant_linear =
               [](const FusedDequantLinearArgs& a) {
                 fused_dequant_linear_on_device(Backend::kCuda, a);
               },
           .grouped_experts = grouped_experts_on_device}};
}

std::vector<KernelBackend> linear_backends() {
  std::vector<KernelBackend> all = kernel_backends();
  all.push_back({.name = "triton",
                 .multiplies_bf16 = true,
                 .reads_host_memory = false,
                 .fused_dequant_linear =
                     [](const FusedDequantLinearArgs& a) {
                       fused_dequant_linear_on_device(Backend::kTriton, a);
                     },
                 .gates = false,
                 .needs = Backend::kTriton});
  return all;
}

}  // namespace thermoe
