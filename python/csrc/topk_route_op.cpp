// SPDX-License-Identifier: Apache-2.0
#include "core/errors.h"
#include "core/router_spec.h"
#include "device_call.h"
#include "kernels/topk_route.h"
#include "named_argument.h"
#include "ops.h"

namespace thermoe::torch_ops {
namespace {

RouterView router_view(const RouterArguments& r, std::int64_t experts, const float* beta) {
  const RouterSpec spec{
      .experts = to_int(experts, "experts"),
      .k = to_int(r.k, "k"),
      .score = named(score_function_from(r.score), "score", r.score, score_function_names()),
      .groups = to_int(r.groups, "groups"),
      .groups_kept = to_int(r.groups_kept, "groups_kept"),
      .denominator = named(weight_denominator_from(r.denominator), "denominator", r.denominator,
                           weight_denominator_names()),
      .routed_scale = r.scale,
      .loss_scores = named(loss_scores_from(r.loss_scores), "loss_scores", r.loss_scores,
                           loss_scores_names())};
  return {spec, beta};
}

/// What leads to a wrong place in memory, where the host can read it.
void check_host_block(const std::byte* block, int layers, int experts) {
  const auto& header = *reinterpret_cast<const PlanHeader*>(block);
  THERMOE_EXPECT(
      header.magic == PlanHeader::kMagic && header.layout_version == PlanHeader::kLayoutVersion,
      "plan is no plan block of layout {}", PlanHeader::kLayoutVersion);
  THERMOE_EXPECT(header.layers == static_cast<unsigned>(layers) &&
                     header.experts == static_cast<unsigned>(experts),
                 "plan is of {} layers and {} experts; expected {} and {}", header.layers,
                 header.experts, layers, experts);
}

PlanLayerView plan_view(Backend backend, const Arguments& tensors, const PlanArguments& p,
                        int experts) {
  if (!p.block) return {};
  const int layers = to_int(p.layers, "layers");
  const int layer = to_int(p.layer, "layer");
  THERMOE_EXPECT(layers >= 1, "layers={} must be 1 or more: how many the plan has", layers);
  THERMOE_EXPECT(layer >= 0 && layer < layers, "layer={} is outside 0..{}", layer, layers - 1);
  tensors.expect(*p.block, "plan", {DType::kU8},
                 {static_cast<std::int64_t>(RoutingPlan::byte_size(layers, experts))});
  Arguments::expect_aligned(*p.block, "plan", 16);
  const auto* const block = p.block->data_as<std::byte>();
  if (backend == Backend::kCpu) check_host_block(block, layers, experts);
  return RoutingPlan::view_in(block, layers, experts, layer);
}

/// The inputs of a call, and room for what it writes beside its own outputs.
struct Call {
  TopkRouteArgs args{};
  Tensor workspace;
};

Call prepare(Backend backend, const Arguments& tensors, const Tensor& logits,
             const RouterArguments& router, const PlanArguments& plan, int slots) {
  tensors.expect(logits, "logits", {DType::kF32, DType::kBf16, DType::kF16},
                 {Arguments::kAny, Arguments::kAny});
  const std::int64_t experts = logits.size(1);
  const auto* const beta =
      static_cast<const float*>(tensors.expect(router.beta, "beta", DType::kF32, {experts}));
  const auto* const step =
      static_cast<const StepState*>(tensors.expect(plan.step, "step", DType::kI32, {4}));
  if (step) Arguments::expect_aligned(*plan.step, "step", alignof(StepState));
  TopkRouteArgs args{.tokens = to_int(logits.size(0), "tokens"),
                     .router = router_view(router, experts, beta),
                     .plan = plan_view(backend, tensors, plan, to_int(experts, "experts")),
                     .step = step,
                     .slots = slots};
  args.logits.data = logits.data();
  args.logits.type = float_type(logits.dtype());
  THERMOE_EXPECT(args.router.experts >= 1 && args.router.experts <= kMaxExperts,
                 "logits have {} experts; expected 1..{}", experts, kMaxExperts);
  THERMOE_EXPECT(args.router.k >= 1 && args.router.k <= args.router.experts,
                 "k={} is outside 1..experts={}", args.router.k, experts);
  THERMOE_EXPECT(slots >= args.router.k && slots <= args.router.experts,
                 "slots={} is outside k={}..experts={}", slots, args.router.k, experts);
  args.workspace_size = topk_route_workspace(backend, args.router, args.tokens, slots);
  Call call{args, empty(logits, {static_cast<std::int64_t>(args.workspace_size)}, DType::kU8)};
  call.args.workspace = call.workspace.mutable_as<std::byte>();
  return call;
}

/// Where the batch's logits go.
LogitSlots sample_slots(const Arguments& tensors, const Tensor& logits, const EngineBuffers& b) {
  THERMOE_EXPECT(b.samples.has_value() == b.slot.has_value(),
                 "samples and slot belong together: slot says which of the two the call fills");
  if (!b.samples) return {};
  const std::int64_t distance = tensors.expect_rows_apart(*b.samples, "samples", logits.dtype(),
                                                          {2, Arguments::kAny, logits.size(1)});
  return {
      .logits = b.samples->mutable_data(),
      .distance = distance,
      .rows = to_int(b.samples->size(1), "samples.size(1)"),
      .slot = static_cast<const std::int32_t*>(tensors.expect(b.slot, "slot", DType::kI32, {1}))};
}

}  // namespace

RouteOutputs topk_route(Backend backend, const Tensor& logits, const RouterArguments& router,
                        const PlanArguments& plan, std::optional<std::int64_t> slots,
                        bool fill_slots) {
  const DeviceCall device(backend, logits);
  const Arguments tensors(backend, logits, "logits");
  auto [args, workspace] =
      prepare(backend, tensors, logits, router, plan, to_int(slots.value_or(router.k), "slots"));
  Tensor weights = empty(logits, {args.tokens, args.slots}, DType::kF32);
  Tensor ids = empty(logits, {args.tokens, args.slots}, DType::kI32);
  Tensor counts = empty(logits, {args.router.experts}, DType::kI32);
  Tensor kept_mass = empty(logits, {args.tokens}, DType::kF32);
  args.fill_slots = fill_slots;
  args.weight = weights.mutable_as<float>();
  args.expert = ids.mutable_as<std::int32_t>();
  args.counts = counts.mutable_as<std::int32_t>();
  args.kept_mass = kept_mass.mutable_as<float>();
  topk_route(backend, args, device.stream());
  return {std::move(weights), std::move(ids), std::move(counts), std::move(kept_mass)};
}

MaskedOutputs topk_route_masked(Backend backend, const Tensor& logits,
                                const RouterArguments& router, const PlanArguments& plan,
                                std::optional<std::int64_t> slots) {
  const DeviceCall device(backend, logits);
  const Arguments tensors(backend, logits, "logits");
  auto [args, workspace] =
      prepare(backend, tensors, logits, router, plan, to_int(slots.value_or(router.k), "slots"));
  Tensor masked = empty(logits, {args.tokens, args.router.experts}, DType::kF32);
  Tensor counts = empty(logits, {args.router.experts}, DType::kI32);
  Tensor kept_mass = empty(logits, {args.tokens}, DType::kF32);
  const Tensor weights = empty(logits, {args.tokens, args.slots}, DType::kF32);
  const Tensor ids = empty(logits, {args.tokens, args.slots}, DType::kI32);
  args.masked_logits = masked.mutable_as<float>();
  args.counts = counts.mutable_as<std::int32_t>();
  args.kept_mass = kept_mass.mutable_as<float>();
  args.weight = weights.mutable_as<float>();
  args.expert = ids.mutable_as<std::int32_t>();
  topk_route(backend, args, device.stream());
  return {std::move(masked), std::move(counts), std::move(kept_mass)};
}

EngineOutputs topk_route_into(Backend backend, const Tensor& logits, const RouterArguments& router,
                              const PlanArguments& plan, const EngineBuffers& buffers) {
  const DeviceCall device(backend, logits);
  const Arguments tensors(backend, logits, "logits");
  auto [args, workspace] = prepare(backend, tensors, logits, router, plan, to_int(router.k, "k"));
  tensors.expect(buffers.counts, "counts", {DType::kI32}, {logits.size(1)});
  args.counts = buffers.counts.mutable_as<std::int32_t>();
  args.sample = sample_slots(tensors, logits, buffers);
  Tensor weights = empty(logits, {args.tokens, args.slots}, DType::kF32);
  Tensor ids = empty(logits, {args.tokens, args.slots}, DType::kI32);
  args.fill_slots = true;
  args.weight = weights.mutable_as<float>();
  args.expert = ids.mutable_as<std::int32_t>();
  topk_route(backend, args, device.stream());
  return {std::move(weights), std::move(ids)};
}

}  // namespace thermoe::torch_ops
