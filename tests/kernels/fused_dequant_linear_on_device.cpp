// SPDX-License-Identifier: Apache-2.0
#include "fused_dequant_linear_on_device.h"

#include <cstring>

#include "device_copy.h"
#include "kernels/device_int4_weights.h"

namespace thermoe {
namespace {

std::size_t width(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

DeviceInt4Weights copy_of(const Int4View& host) {
  return host.words ? DeviceInt4Weights(host) : DeviceInt4Weights();
}

}  // namespace

void fused_dequant_linear_on_device(Backend backend, const FusedDequantLinearArgs& host) {
  const auto tokens = static_cast<std::size_t>(host.tokens);
  const auto outputs = static_cast<std::size_t>(host.weights.outputs);
  const auto inputs = static_cast<std::size_t>(host.weights.inputs);
  const DeviceMemory x =
      copied(static_cast<const std::byte*>(host.x), tokens * inputs * width(host.x_type));
  const DeviceInt4Weights weights = copy_of(host.weights);
  const DeviceInt4Weights up = copy_of(host.up);
  const DeviceMemory bias = copied(host.bias, outputs);
  const DeviceMemory up_bias = copied(host.up_bias, outputs);
  const Poisoned out(tokens * outputs * width(host.out_type));

  FusedDequantLinearArgs device = host;
  device.x = x.data();
  device.weights = weights.view();
  device.up = up.view();
  device.bias = bias.as<const float>();
  device.up_bias = up_bias.as<const float>();
  device.out = out.data();
  fused_dequant_linear(backend, device, Stream{nullptr});
  const std::vector<std::byte> result = out.bytes();
  if (!result.empty()) std::memcpy(host.out, result.data(), result.size());
}

}  // namespace thermoe
