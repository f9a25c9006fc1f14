// SPDX-License-Identifier: Apache-2.0
#include "engine_call.h"

#include <algorithm>
#include <cstring>

#include "kernels/aligned_vector.h"

namespace thermoe {
namespace {

constexpr std::byte kUnwritten{0xff};

GateLogits logits_of(const EngineCall& call) {
  GateLogits logits;
  logits.data = call.logits.data();
  logits.type = call.problem.type;
  return logits;
}

std::size_t cells_of(const RouteProblem& p, int row_length) {
  return static_cast<std::size_t>(p.tokens) * static_cast<std::size_t>(row_length);
}

}  // namespace

std::size_t EngineCall::sample_bytes() const {
  return static_cast<std::size_t>(distance() + std::int64_t{rows} * problem.experts) *
         logit_bytes();
}

EngineCall with_random_bits(RouteProblem problem, std::mt19937& random) {
  EngineCall call{.problem = std::move(problem)};
  call.logits.resize(cells_of(call.problem, call.problem.experts) * call.logit_bytes());
  for (std::byte& b : call.logits) b = static_cast<std::byte>(random() & 0xff);
  return call;
}

EngineCall with_own_logits(RouteProblem problem) {
  EngineCall call{.problem = std::move(problem)};
  const std::vector<float>& own = call.problem.logits;
  call.logits.resize(own.size() * call.logit_bytes());
  for (std::size_t i = 0; i < own.size(); ++i) {
    const std::uint16_t bits = narrowed(own[i], call.problem.type);
    const bool wide = call.problem.type == FloatType::kF32;
    std::memcpy(call.logits.data() + i * call.logit_bytes(),
                wide ? static_cast<const void*>(&own[i]) : &bits, call.logit_bytes());
  }
  return call;
}

EngineResult run(const KernelBackend& backend, const EngineCall& call) {
  const RouteProblem& p = call.problem;
  EngineResult result{.expert = std::vector<std::int32_t>(cells_of(p, p.slots()), -77),
                      .weight = std::vector<float>(cells_of(p, p.slots()), -77.0F),
                      .counts = std::vector<std::int32_t>(p.experts, -77),
                      .sample = std::vector<std::byte>(call.sample_bytes(), kUnwritten)};
  if (call.masked) result.masked.assign(cells_of(p, p.experts), -77.0F);
  const RouterSpec router = p.router();
  const LayerPlan row{.k = p.plan_k.value_or(p.k),
                      .k_min = p.k_min,
                      .extra_k_share = p.extra_k_share,
                      .extra_k_min_share = p.extra_k_min_share};
  const auto data_of = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), p.tokens, p.slots()),
      std::byte{0xb2});
  backend.topk_route({.logits = logits_of(call),
                      .tokens = p.tokens,
                      .router = {router, data_of(p.model_bias)},
                      .plan = {.layer = p.layer,
                               .row = &row,
                               .selection_bias = data_of(p.bias),
                               .activation_price = data_of(p.price)},
                      .step = &p.step,
                      .expert = result.expert.data(),
                      .weight = result.weight.data(),
                      .slots = p.slots(),
                      .fill_slots = true,
                      .counts = result.counts.data(),
                      .masked_logits = result.masked.empty() ? nullptr : result.masked.data(),
                      .sample = {.logits = result.sample.empty() ? nullptr : result.sample.data(),
                                 .distance = call.distance(),
                                 .rows = call.rows,
                                 .slot = &call.slot},
                      .workspace = workspace.data(),
                      .workspace_size = workspace.size()});
  return result;
}

std::vector<std::byte> expected_sample(const EngineCall& call) {
  std::vector<std::byte> sample(call.sample_bytes(), kUnwritten);
  if (call.slot != 0 && call.slot != 1) return sample;
  const auto rows = static_cast<std::size_t>(std::min(call.rows, call.problem.valid()));
  const auto row = static_cast<std::size_t>(call.problem.experts) * call.logit_bytes();
  const std::size_t first =
      call.slot == 0 ? 0 : static_cast<std::size_t>(call.distance()) * call.logit_bytes();
  std::copy_n(call.logits.begin(), rows * row, sample.begin() + static_cast<std::ptrdiff_t>(first));
  return sample;
}

}  // namespace thermoe
