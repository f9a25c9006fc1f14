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
           .fused_dequant_linear = fused_dequant_linear_on_device,
           .grouped_experts = grouped_experts_on_device,
           .linear = nullptr,
           .decode_attention = nullptr}};
}

}  // namespace thermoe
