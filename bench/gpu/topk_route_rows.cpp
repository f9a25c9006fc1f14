// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/router_spec.h"
#include "core/routing_plan.h"
#include "kernels/random_device_data.h"
#include "rotating_sets.h"
#include "rows.h"

namespace thermoe::bench {
namespace {

constexpr int kTopk = 8;

/// A router by name, and a price that makes it run about half of its experts at 16 tokens.
struct Router {
  std::string name{};
  RouterSpec spec{};
  float price = 0.0F;
};

Router softmax_of(int experts) {
  return {.name = "softmax", .spec = {.experts = experts, .k = kTopk}, .price = 0.1F};
}
Router deepseek_v3() {
  return {.name = "deepseek_v3",
          .spec = {.experts = 256,
                   .k = kTopk,
                   .score = ScoreFunction::kSigmoid,
                   .groups = 8,
                   .groups_kept = 4,
                   .routed_scale = 2.5},
          .price = 0.008F};
}

enum class Plan { kNone, kZeros, kPriced };

std::string to_string(Plan plan) {
  return plan == Plan::kNone ? "none" : plan == Plan::kZeros ? "zeros" : "priced";
}

/// As an engine with captured graphs calls it: step and sample at fixed addresses, slots filled.
enum class Engine { kNo, kUnsampled, kSampled };

struct Case {
  Router router{};
  int tokens = 0;
  FloatType type = FloatType::kF32;
  Plan plan = Plan::kNone;
  bool order = false;          ///< writes the picks by expert too
  bool masked_logits = false;  ///< and logits for an engine's own top-k
  Engine engine = Engine::kNo;
  Backend backend = Backend::kCuda;
};

/// What the calls of a row work on.
struct Data {
  std::vector<DeviceMemory> logits;
  DeviceMemory bias;  // beta
  DeviceMemory plan;
  DeviceMemory expert;
  DeviceMemory weight;
  DeviceMemory counts;
  DeviceMemory first;
  DeviceMemory pair;
  DeviceMemory masked;
  DeviceMemory step;
  DeviceMemory sample;
  DeviceMemory slot;
  DeviceMemory workspace;
  TopkRouteArgs args;
};

RoutingPlan plan_of(const Case& c) {
  RoutingPlan plan(1, c.router.spec.experts, kTopk);
  if (c.plan != Plan::kPriced) return plan;
  plan.layer(0).k_min = 1;
  for (float& price : plan.activation_price(0)) price = c.router.price;
  return plan;
}

std::size_t logits_size(const Case& c) {
  const std::size_t element = c.type == FloatType::kF32 ? 4 : 2;
  return element * static_cast<std::size_t>(c.tokens) *
         static_cast<std::size_t>(c.router.spec.experts);
}

void add_inputs(Data& data, const Case& c) {
  const int sets = sets_to_rotate(static_cast<double>(logits_size(c)));
  const std::size_t cells =
      static_cast<std::size_t>(c.tokens) * static_cast<std::size_t>(c.router.spec.experts);
  for (int i = 0; i < sets; ++i) {
    const auto seed = static_cast<unsigned>(i);
    data.logits.push_back(c.type == FloatType::kF32 ? normal_f32(cells, seed, 2.0F)
                                                    : normal_bf16(cells, seed, 2.0F));
  }
  const bool has_beta = c.router.spec.score == ScoreFunction::kSigmoid;
  if (has_beta) data.bias = normal_f32(static_cast<std::size_t>(c.router.spec.experts), 7, 0.05F);
  data.args.router = RouterView(c.router.spec, data.bias.as<float>());
  if (c.plan == Plan::kNone) return;
  const RoutingPlan plan = plan_of(c);
  data.plan = on_device(plan.bytes());
  data.args.plan = plan.view_at(data.plan.data(), 0);
}

void add_outputs(Data& data, const Case& c) {
  const auto experts = static_cast<std::size_t>(c.router.spec.experts);
  const std::size_t picks = static_cast<std::size_t>(c.tokens) * kTopk;
  data.expert = DeviceMemory(4 * picks);
  data.weight = DeviceMemory(4 * picks);
  data.counts = DeviceMemory(4 * experts);
  if (c.order) data.first = DeviceMemory(4 * (experts + 1));
  if (c.order) data.pair = DeviceMemory(4 * picks);
  if (c.masked_logits) data.masked = DeviceMemory(4 * static_cast<std::size_t>(c.tokens) * experts);
  data.workspace =
      DeviceMemory(topk_route_workspace(Backend::kCuda, data.args.router, c.tokens, kTopk));
  data.args.tokens = c.tokens;
  data.args.expert = data.expert.as<std::int32_t>();
  data.args.weight = data.weight.as<float>();
  data.args.slots = kTopk;
  data.args.counts = data.counts.as<std::int32_t>();
  data.args.masked_logits = data.masked.as<float>();
  data.args.order = {data.first.as<std::int32_t>(), data.pair.as<std::int32_t>()};
  data.args.workspace = data.workspace.data();
  data.args.workspace_size = data.workspace.size();
}

void add_engine(Data& data, const Case& c) {
  if (c.engine == Engine::kNo) return;
  const StepState step{};
  const std::int32_t slot = c.engine == Engine::kSampled ? 1 : -1;
  data.step = on_device(std::span(&step, 1));
  data.slot = on_device(std::span(&slot, 1));
  data.sample = DeviceMemory(2 * logits_size(c));
  data.args.step = data.step.as<const StepState>();
  data.args.fill_slots = true;
  data.args.sample = {.logits = data.sample.data(),
                      .distance = std::int64_t{c.tokens} * c.router.spec.experts,
                      .rows = c.tokens,
                      .slot = data.slot.as<const std::int32_t>()};
}

Work prepare(const Case& c) {
  const auto data = std::make_shared<Data>();
  add_inputs(*data, c);
  add_outputs(*data, c);
  add_engine(*data, c);
  const auto enqueue = [=](int call, Stream stream) {
    const DeviceMemory& logits = data->logits[static_cast<std::size_t>(call) % data->logits.size()];
    TopkRouteArgs args = data->args;
    args.logits = c.type == FloatType::kF32 ? GateLogits(logits.as<float>())
                                            : GateLogits::bf16(logits.as<std::uint16_t>());
    if (c.backend == Backend::kTriton) args.counts = nullptr;
    topk_route(c.backend, args, stream);
  };
  const std::size_t bytes = logits_size(c) + data->bias.size() + data->plan.size() +
                            data->expert.size() + data->weight.size() + data->counts.size() +
                            data->first.size() + data->pair.size() + data->masked.size() +
                            data->step.size() + (c.engine == Engine::kSampled ? logits_size(c) : 0);
  return {.enqueue = enqueue, .bytes = static_cast<double>(bytes)};
}

Row route_row(const Case& c) {
  Row row{.op = "topk_route",
          .shape = {{"tokens", c.tokens},
                    {"experts", c.router.spec.experts},
                    {"k", kTopk},
                    {"logits", c.type == FloatType::kF32 ? "f32" : "bf16"},
                    {"router", c.router.name},
                    {"plan", to_string(c.plan)}},
          .impl = std::string(to_string(c.backend)),
          .prepare = [c] { return prepare(c); }};
  if (c.order) row.shape["order"] = true;
  if (c.masked_logits) row.shape["masked_logits"] = true;
  if (c.engine != Engine::kNo) row.shape["into"] = true;
  if (c.engine == Engine::kSampled) row.shape["sampled"] = true;
  return row;
}

constexpr int kAllTokens[] = {1, 16, 64, 256, 4096, 65536};

}  // namespace

std::vector<Row> topk_route_rows() {
  std::vector<Row> rows;
  const auto add = [&](std::span<const int> batches, Case c) {
    for (const int tokens : batches) {
      c.tokens = tokens;
      rows.push_back(route_row(c));
    }
  };
  const std::span<const int> all(kAllTokens);
  const std::span<const int> decode = all.first(4);
  for (const int experts : {64, 128, 256}) {
    for (const FloatType type : {FloatType::kF32, FloatType::kBf16}) {
      add(all, {.router = softmax_of(experts), .type = type});
      add(all.first(5), {.router = softmax_of(experts), .type = type, .plan = Plan::kPriced});
    }
  }
  for (const Plan plan : {Plan::kNone, Plan::kPriced}) {
    add(all.first(5), {.router = deepseek_v3(), .plan = plan});
    add(plan == Plan::kNone ? all : all.first(5),
        {.router = softmax_of(128), .plan = plan, .order = true});
  }
  add(all, {.router = softmax_of(128), .backend = Backend::kTriton});
  add(decode, {.router = softmax_of(128), .plan = Plan::kZeros});
  add(decode, {.router = softmax_of(128), .plan = Plan::kPriced, .masked_logits = true});
  for (const Plan plan : {Plan::kNone, Plan::kZeros, Plan::kPriced}) {
    for (const int tokens : {16, 64}) {
      Case c{.router = softmax_of(128), .tokens = tokens, .type = FloatType::kBf16, .plan = plan};
      for (const Engine engine : {Engine::kUnsampled, Engine::kSampled}) {
        c.engine = engine;
        rows.push_back(route_row(c));
      }
      c.engine = Engine::kUnsampled;
      rows.push_back(apart(route_row(c)));
    }
  }
  for (const Plan plan : {Plan::kNone, Plan::kPriced}) {
    for (const FloatType type : {FloatType::kF32, FloatType::kBf16}) {
      for (const int tokens : decode) {
        rows.push_back(apart(
            route_row({.router = softmax_of(128), .tokens = tokens, .type = type, .plan = plan})));
      }
    }
  }
  return rows;
}

}  // namespace thermoe::bench
