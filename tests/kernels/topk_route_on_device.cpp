// SPDX-License-Identifier: Apache-2.0
#include "topk_route_on_device.h"

#include <cstring>
#include <optional>

#include "device_copy.h"

namespace thermoe {
namespace {

/// An output on the device, to be brought back to `host`; null where the host wants none.
template <class T>
class Output {
 public:
  Output(T* host, std::size_t count) : host_(host) {
    if (host) memory_.emplace(count * sizeof(T));
  }
  T* data() const { return memory_ ? reinterpret_cast<T*>(memory_->data()) : nullptr; }
  void bring_back() const {
    if (!memory_) return;
    const std::vector<std::byte> bytes = memory_->bytes();
    if (!bytes.empty()) std::memcpy(host_, bytes.data(), bytes.size());
  }

 private:
  T* host_;
  std::optional<Poisoned> memory_{};
};

}  // namespace

void topk_route_on_device(const TopkRouteArgs& host) {
  const auto experts = static_cast<std::size_t>(host.router.experts);
  const auto batches = static_cast<std::size_t>(host.batches);
  const std::size_t tokens = batches * static_cast<std::size_t>(host.tokens);
  const std::size_t cells = tokens * static_cast<std::size_t>(host.slots);
  const std::size_t logit_bytes = host.logits.type == FloatType::kF32 ? 4 : 2;
  const DeviceMemory logits =
      copied(static_cast<const std::byte*>(host.logits.data), tokens * experts * logit_bytes);
  const DeviceMemory model_bias = copied(host.router.bias, experts);
  const DeviceMemory row = copied(host.plan.row, 1);
  const DeviceMemory bias = copied(host.plan.selection_bias, experts);
  const DeviceMemory price = copied(host.plan.activation_price, experts);
  const DeviceMemory step = copied(host.step, 1);
  const Output expert(host.expert, cells);
  const Output weight(host.weight, cells);
  const Output counts(host.counts, batches * experts);
  const Output kept_mass(host.kept_mass, tokens);
  const Output masked_logits(host.masked_logits, tokens * experts);
  const std::int64_t sample_logits =
      host.sample.distance + std::int64_t{host.sample.rows} * host.router.experts;
  const Output sample(static_cast<std::byte*>(host.sample.logits),
                      static_cast<std::size_t>(sample_logits) * logit_bytes);
  const DeviceMemory slot = copied(host.sample.slot, 1);
  const Output first(host.order.first, experts + 1);
  const Poisoned pair(cells * sizeof(std::int32_t));
  const Poisoned workspace(
      topk_route_workspace(Backend::kCuda, host.router, host.tokens, host.slots));

  TopkRouteArgs device = host;
  device.logits.data = logits.data();
  device.router.bias = model_bias.as<const float>();
  device.plan.row = row.as<const LayerPlan>();
  device.plan.selection_bias = bias.as<const float>();
  device.plan.activation_price = price.as<const float>();
  device.step = step.as<const StepState>();
  device.expert = expert.data();
  device.weight = weight.data();
  device.counts = counts.data();
  device.kept_mass = kept_mass.data();
  device.masked_logits = masked_logits.data();
  if (host.order.first) {
    device.order = {first.data(), reinterpret_cast<std::int32_t*>(pair.data())};
  }
  device.sample.logits = sample.data();
  device.sample.slot = slot.as<const std::int32_t>();
  device.workspace = workspace.data();
  device.workspace_size = workspace.size();
  topk_route(Backend::kCuda, device, Stream{nullptr});
  expert.bring_back();
  weight.bring_back();
  counts.bring_back();
  kept_mass.bring_back();
  masked_logits.bring_back();
  sample.bring_back();
  first.bring_back();
  static_cast<void>(workspace.bytes());
  if (!host.order.first || cells == 0) return;
  // Behind the picks nothing is written, and the host's stays as it is.
  const std::vector<std::byte> pairs = pair.bytes();
  const auto picks = static_cast<std::size_t>(host.order.first[experts]);
  std::memcpy(host.order.pair, pairs.data(), picks * sizeof(std::int32_t));
}

}  // namespace thermoe
