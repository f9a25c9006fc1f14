// SPDX-License-Identifier: Apache-2.0
#include "grouped_experts_on_device.h"

#include <cstring>

#include "device_copy.h"
#include "kernels/device_expert_bank.h"

namespace thermoe {
namespace {

std::size_t width(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

}  // namespace

void grouped_experts_on_device(const GroupedExpertsArgs& host) {
  const ExpertLayerShape& shape = host.bank.shape;
  const auto tokens = static_cast<std::size_t>(host.tokens);
  const auto experts = static_cast<std::size_t>(shape.experts);
  const auto cells = tokens * static_cast<std::size_t>(shape.d_model);
  const auto picks = tokens * static_cast<std::size_t>(host.slots);
  const DeviceExpertBank bank(host.bank);
  const DeviceMemory hidden =
      copied(static_cast<const std::byte*>(host.hidden), cells * width(host.hidden_type));
  const DeviceMemory expert = copied(host.expert, picks);
  const DeviceMemory weight = copied(host.weight, picks);
  const DeviceMemory first = copied(host.order.first, experts + 1);
  const DeviceMemory pair = copied(host.order.pair, picks);
  const DeviceMemory variant = copied(host.variant, experts);
  const Poisoned workspace(
      grouped_experts_workspace(Backend::kCuda, shape, host.tokens, host.slots));
  const Poisoned out(cells * width(host.out_type));

  GroupedExpertsArgs device = host;
  device.bank = bank.view();
  device.hidden = hidden.data();
  device.expert = expert.as<const std::int32_t>();
  device.weight = weight.as<const float>();
  device.order = {first.as<std::int32_t>(), pair.as<std::int32_t>()};
  device.variant = variant.as<const std::uint8_t>();
  device.workspace = workspace.data();
  device.workspace_size = workspace.size();
  device.out = out.data();
  grouped_experts(Backend::kCuda, device, Stream{nullptr});
  static_cast<void>(workspace.bytes());
  const std::vector<std::byte> result = out.bytes();
  if (!result.empty()) std::memcpy(host.out, result.data(), result.size());
}

}  // namespace thermoe
