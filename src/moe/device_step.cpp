// SPDX-License-Identifier: Apache-2.0
#include "moe/device_step.h"

#include "kernels/grouped_experts.h"
#include "kernels/step_state.h"

namespace thermoe {
namespace {

constexpr Stream kStream{nullptr};

template <class T>
DeviceMemory room(std::size_t count) {
  return DeviceMemory(count * sizeof(T));
}

template <class T>
std::span<T> fetch_into(std::vector<T>& host, const DeviceMemory& from, std::size_t count) {
  const std::span<T> to = std::span(host).first(count);
  copy_to_host(std::as_writable_bytes(to), from.data(), kStream);
  return to;
}

}  // namespace

DeviceStep::DeviceStep(const RouterSpec& router, const ExpertLayerShape& shape, int layers,
                       int streams)
    : router_(router),
      streams_(streams),
      plan_(layers, shape.experts),
      state_(sizeof(StepState)),
      bias_(on_device(std::span<const float>(router.selection_bias))),
      logits_(room<float>(static_cast<std::size_t>(streams) * shape.experts)),
      hidden_(room<float>(static_cast<std::size_t>(streams) * shape.d_model)),
      out_(room<float>(static_cast<std::size_t>(streams) * shape.d_model)),
      expert_(room<std::int32_t>(static_cast<std::size_t>(streams) * shape.experts)),
      weight_(room<float>(static_cast<std::size_t>(streams) * shape.experts)),
      counts_(room<std::int32_t>(shape.experts)),
      kept_mass_(room<float>(streams)),
      first_(room<std::int32_t>(shape.experts + 1)),
      pair_(room<std::int32_t>(static_cast<std::size_t>(streams) * shape.experts)),
      route_workspace_(topk_route_workspace(Backend::kCuda, RouterView(router, nullptr), streams,
                                            shape.experts)),
      expert_workspace_(grouped_experts_workspace(Backend::kCuda, shape, streams, shape.experts)),
      host_expert_(static_cast<std::size_t>(streams) * shape.experts),
      host_counts_(shape.experts),
      host_first_(shape.experts + 1),
      host_pair_(host_expert_.size()),
      host_weight_(host_expert_.size()),
      host_kept_mass_(streams) {}

void DeviceStep::begin(const RoutingPlan& plan, std::uint64_t step) {
  while (!plan_.update(plan, kStream)) synchronise(kStream);
  const StepState state{.step = step};
  copy_to_device(state_.data(), std::as_bytes(std::span(&state, 1)), kStream);
}

LayerRouting DeviceStep::run(const Layer& layer) {
  copy_to_device(logits_.data(), std::as_bytes(layer.logits), kStream);
  copy_to_device(hidden_.data(), std::as_bytes(layer.hidden), kStream);
  route(layer);
  run_experts(layer);
  copy_to_host(std::as_writable_bytes(layer.out), out_.data(), kStream);
  return fetch(layer);
}

void DeviceStep::route(const Layer& layer) {
  const float* bias =
      bias_.data() ? bias_.as<float>() + std::ptrdiff_t{layer.layer} * router_.experts : nullptr;
  topk_route(Backend::kCuda,
             {.logits = logits_.as<float>(),
              .tokens = streams_,
              .router = RouterView(router_, bias),
              .plan = plan_.view(layer.layer),
              .step = state_.as<StepState>(),
              .expert = expert_.as<std::int32_t>(),
              .weight = weight_.as<float>(),
              .slots = layer.slots,
              .counts = counts_.as<std::int32_t>(),
              .kept_mass = kept_mass_.as<float>(),
              .order = {first_.as<std::int32_t>(), pair_.as<std::int32_t>()},
              .workspace = route_workspace_.data(),
              .workspace_size = route_workspace_.size()},
             kStream);
}

void DeviceStep::run_experts(const Layer& layer) {
  grouped_experts(Backend::kCuda,
                  {.bank = layer.experts,
                   .hidden = hidden_.data(),
                   .tokens = streams_,
                   .expert = expert_.as<std::int32_t>(),
                   .weight = weight_.as<float>(),
                   .slots = layer.slots,
                   .order = {first_.as<std::int32_t>(), pair_.as<std::int32_t>()},
                   .variant = layer.by_variant ? plan_.view(layer.layer).variant : nullptr,
                   .workspace = expert_workspace_.data(),
                   .workspace_size = expert_workspace_.size(),
                   .out = out_.data()},
                  kStream);
}

LayerRouting DeviceStep::fetch(const Layer& layer) {
  const std::size_t picks = static_cast<std::size_t>(streams_) * layer.slots;
  fetch_into(host_first_, first_, host_first_.size());
  fetch_into(host_pair_, pair_, picks);
  const LayerRouting routing{
      .tokens = streams_,
      .slots = layer.slots,
      .expert = fetch_into(host_expert_, expert_, picks),
      .weight = fetch_into(host_weight_, weight_, picks),
      .counts = fetch_into(host_counts_, counts_, host_counts_.size()),
      .kept_mass = fetch_into(host_kept_mass_, kept_mass_, host_kept_mass_.size()),
      .order = {host_first_.data(), host_pair_.data()}};
  synchronise(kStream);
  return routing;
}

}  // namespace thermoe
