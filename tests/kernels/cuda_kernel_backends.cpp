// SPDX-License-Identifier: Apache-2.0
#include "grouped_experts_on_device.h"
#include "kernel_backend.h"

namespace thermoe {

std::vector<KernelBackend> kernel_backends() {
  return {{.name = "cuda",
           .multiplies_bf16 = true,
           .topk_route = nullptr,
           .fused_dequant_linear = nullptr,
           .grouped_experts = grouped_experts_on_device,
           .linear = nullptr,
           .decode_attention = nullptr}};
}

}  // namespace thermoe
