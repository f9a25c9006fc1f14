// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/load_proxy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "kernels/device_event.h"
#include "kernels/device_graph.h"
#include "kernels/device_plan.h"
#include "kernels/device_stream.h"
#include "kernels/grouped_experts.h"
#include "kernels/pinned_memory.h"
#include "kernels/random_device_data.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

constexpr std::size_t kLogitsAt = 256;  // among the inputs, behind the StepState
constexpr unsigned kHiddenSeed = 1000;  // layers have 0, 1, ...

std::size_t product(int a, int b, int c = 1) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
}

template <class T>
DeviceMemory room_for(std::size_t count) {
  return DeviceMemory(count * sizeof(T));
}

DeviceMemory beta_on_device(const RouterSpec& router) {
  if (router.selection_bias.empty()) return {};
  return on_device(std::span(router.selection_bias));
}

LoadProxyOptions checked(LoadProxyOptions options) {
  check_options(options);
  check_room(options, describe_device());
  return options;
}

}  // namespace

struct LoadProxy::Parts {
  explicit Parts(LoadProxyOptions wanted);

  void enqueue(Stream captured) const;
  void route(int model_layer, int row, Stream captured) const;
  void run_experts(int layer, int model_layer, int row, Stream captured) const;
  void check(const StagedStep& step) const;
  void copy_inputs();
  void read_picks();

  /// Of a row of `ids` and `counts`: a model layer's, or the last, for those whose picks are known.
  std::int32_t* ids_of(int row) const {
    return ids.as<std::int32_t>() + product(row, options.tokens, slots);
  }
  std::int32_t* counts_of(int row) const {
    return counts.as<std::int32_t>() + product(row, experts);
  }
  ExpertOrder order_of_layer() const { return {first.as<std::int32_t>(), pair.as<std::int32_t>()}; }

  const LoadProxyOptions options;
  const ExpertLayerShape shape{options.layer_shape()};
  const int experts{shape.experts};
  const int slots{options.slots()};
  const std::size_t ids_count{product(options.model_layers, options.tokens, slots)};
  const std::size_t counts_count{product(options.model_layers, experts)};
  const std::size_t logits_count{product(options.model_layers, options.tokens, experts)};

  DeviceStream stream{};
  DevicePlan plan{options.model_layers, experts};
  bool any_staged = false;
  std::optional<RoutingPlan> staged_plan{};  // where it is not on the device yet
  RoutedPicks picks{};
  DeviceEvent begin{};
  DeviceEvent end{};

  // Host and device have the same bytes: StepState, logits [model_layers, tokens, experts].
  PinnedMemory staged{kLogitsAt + logits_count * sizeof(float)};
  DeviceMemory inputs{staged.size()};
  // ... and in turn: PlanHeader, ids, counts.
  PinnedMemory routed{sizeof(PlanHeader) + (ids_count + counts_count) * sizeof(std::int32_t)};

  DeviceMemory ids{room_for<std::int32_t>(ids_count + product(options.tokens, slots))};
  DeviceMemory counts{room_for<std::int32_t>(counts_count + product(experts, 1))};
  DeviceMemory beta{beta_on_device(options.router)};  // [model_layers, experts], or nothing
  DeviceMemory hidden{normal_bf16(product(options.tokens, shape.d_model), kHiddenSeed)};
  // Of one layer, until the next writes them.
  DeviceMemory weight{room_for<float>(product(options.tokens, slots))};
  DeviceMemory first{room_for<std::int32_t>(product(experts + 1, 1))};
  DeviceMemory pair{room_for<std::int32_t>(product(options.tokens, slots))};
  DeviceMemory out{room_for<std::uint16_t>(product(options.tokens, shape.d_model))};
  DeviceMemory route_workspace{topk_route_workspace(
      Backend::kCuda, RouterView(options.router, nullptr), options.tokens, slots)};
  DeviceMemory experts_workspace{
      grouped_experts_workspace(Backend::kCuda, shape, options.tokens, slots)};
  std::vector<DeviceExpertBank> banks{};
  std::optional<DeviceGraph> graph{};  // of all these
};

LoadProxy::Parts::Parts(LoadProxyOptions wanted) : options(std::move(wanted)) {
  for (int i = 0; i < options.distinct_layers(); ++i) {
    banks.push_back(random_expert_bank(shape, options.precisions, static_cast<unsigned>(i)));
  }
  synchronise(Stream{nullptr});  // what was made there is ready for `stream`
  graph.emplace(stream, [this](Stream captured) { enqueue(captured); });
  picks = {.layers = options.model_layers,
           .tokens = options.tokens,
           .slots = slots,
           .experts = experts,
           .expert = std::vector<std::int32_t>(ids_count, -1),
           .counts = std::vector<std::int32_t>(counts_count, 0)};
}

void LoadProxy::Parts::enqueue(Stream captured) const {
  int known = 0;  // model layers with picks
  for (int layer = 0; layer < options.shape.layers; ++layer) {
    const int model_layer = layer * options.model_layers / options.shape.layers;
    const int row = model_layer == known ? known++ : options.model_layers;
    route(model_layer, row, captured);
    run_experts(layer, model_layer, row, captured);
  }
  const std::span<std::byte> all = routed.bytes();
  const std::size_t counts_at = all.size() - counts_count * sizeof(std::int32_t);
  copy_to_host(all.first(sizeof(PlanHeader)), plan.header(), captured);
  copy_to_host(all.subspan(sizeof(PlanHeader), counts_at - sizeof(PlanHeader)), ids.data(),
               captured);
  copy_to_host(all.subspan(counts_at), counts.data(), captured);
}

void LoadProxy::Parts::route(int model_layer, int row, Stream captured) const {
  const float* bias =
      beta.size() > 0 ? beta.as<const float>() + product(model_layer, experts) : nullptr;
  const auto* logits = reinterpret_cast<const float*>(inputs.data() + kLogitsAt);
  topk_route(Backend::kCuda,
             {.logits = logits + product(model_layer, options.tokens, experts),
              .tokens = options.tokens,
              .router = RouterView(options.router, bias),
              .plan = plan.view(model_layer),
              .step = inputs.as<const StepState>(),
              .expert = ids_of(row),
              .weight = weight.as<float>(),
              .slots = slots,
              .counts = counts_of(row),
              .order = order_of_layer(),
              .workspace = route_workspace.data(),
              .workspace_size = route_workspace.size()},
             captured);
}

void LoadProxy::Parts::run_experts(int layer, int model_layer, int row, Stream captured) const {
  grouped_experts(
      Backend::kCuda,
      {.bank = banks[static_cast<std::size_t>(layer % options.distinct_layers())].view(),
       .hidden = hidden.data(),
       .hidden_type = FloatType::kBf16,
       .tokens = options.tokens,
       .expert = ids_of(row),
       .weight = weight.as<const float>(),
       .slots = slots,
       .order = order_of_layer(),
       .variant = plan.view(model_layer).variant,
       .workspace = experts_workspace.data(),
       .workspace_size = experts_workspace.size(),
       .out = out.data(),
       .out_type = FloatType::kBf16},
      captured);
}

void LoadProxy::Parts::check(const StagedStep& step) const {
  const LogitSample& sample = step.sample;
  THERMOE_EXPECT(sample.layers == options.model_layers && sample.tokens == options.tokens &&
                     sample.experts == experts && sample.logits.size() == logits_count,
                 "a step of {} layers x {} tokens x {} experts for a load of {}x{}x{}",
                 sample.layers, sample.tokens, sample.experts, options.model_layers, options.tokens,
                 experts);
  THERMOE_EXPECT(step.plan.layers() == options.model_layers && step.plan.experts() == experts,
                 "a plan of {}x{} for a load of {}x{}", step.plan.layers(), step.plan.experts(),
                 options.model_layers, experts);
  for (int l = 0; l < options.model_layers; ++l) {
    const LayerPlan& row = step.plan.layer(l);
    const int most = row.k + (row.extra_k_share > 0.0F && row.k < experts ? 1 : 0);
    THERMOE_EXPECT(most <= slots, "layer {} of plan {} has k={}: more than {} slots", l,
                   step.plan.header().version, most, slots);
  }
}

/// The step that read what was staged before has ended: nothing is overwritten before its copy ran.
void LoadProxy::Parts::copy_inputs() {
  if (!staged_plan) return;
  while (!plan.update(*staged_plan, stream)) synchronise(stream);
  staged_plan.reset();
  copy_to_device(inputs.data(), staged.bytes(), stream);
}

void LoadProxy::Parts::read_picks() {
  picks.plan_version = routed.as<const PlanHeader>()->version;
  const auto* values = reinterpret_cast<const std::int32_t*>(routed.data() + sizeof(PlanHeader));
  std::copy_n(values, ids_count, picks.expert.begin());
  std::copy_n(values + ids_count, counts_count, picks.counts.begin());
}

LoadProxy::LoadProxy(LoadProxyOptions options)
    : parts_(std::make_unique<Parts>(checked(std::move(options)))) {}
LoadProxy::~LoadProxy() = default;

void LoadProxy::stage(const StagedStep& step) {
  parts_->check(step);
  const StepState state{.step = step.step};
  std::memcpy(parts_->staged.data(), &state, sizeof(state));
  std::memcpy(parts_->staged.data() + kLogitsAt, step.sample.logits.data(),
              parts_->logits_count * sizeof(float));
  parts_->staged_plan = step.plan;
  parts_->any_staged = true;
}

Seconds LoadProxy::run() {
  Parts& p = *parts_;
  THERMOE_EXPECT(p.any_staged, "no step was staged");
  p.copy_inputs();
  p.begin.record(p.stream);
  p.graph->launch(p.stream);
  p.end.record(p.stream);
  p.end.wait();
  p.read_picks();
  return p.end.since(p.begin);
}

const RoutedPicks& LoadProxy::picks() const { return parts_->picks; }

const LoadProxyOptions& LoadProxy::options() const { return parts_->options; }

std::size_t LoadProxy::device_bytes() const {
  const Parts& p = *parts_;
  std::size_t bytes =
      p.options.weight_bytes() + RoutingPlan::byte_size(p.options.model_layers, p.experts);
  for (const DeviceMemory* memory :
       {&p.inputs, &p.ids, &p.counts, &p.beta, &p.hidden, &p.weight, &p.first, &p.pair, &p.out,
        &p.route_workspace, &p.experts_workspace}) {
    bytes += memory->size();
  }
  return bytes;
}

}  // namespace thermoe
