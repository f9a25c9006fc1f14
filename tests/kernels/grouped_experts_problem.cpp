// SPDX-License-Identifier: Apache-2.0
#include "grouped_experts_problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

namespace thermoe {
namespace {

double dot(const float* w, const float* x, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += double{w[i]} * x[i];
  return sum;
}

double activation(ExpertKind kind, double gate, double up) {
  if (kind == ExpertKind::kSwiGlu) return gate / (1.0 + std::exp(-gate)) * up;
  if (kind == ExpertKind::kRelu) return std::max(0.0, up);
  return 0.5 * up * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (up + 0.044715 * up * up * up)));
}

/// An output, and the sum of the absolute values of the products that it is the sum of.
struct Output {
  double value = 0.0;
  double size = 0.0;
};

/// Expert e applied to x, in float64.
std::vector<Output> expert_oracle(const LayerWeights& w, int e, const float* x) {
  const auto [experts, d, ff, kind] = w.shape;
  const auto matrix = static_cast<std::ptrdiff_t>(e) * d * ff;
  std::vector<double> hidden;
  for (int j = 0; j < ff; ++j) {
    const double gate = w.gate.empty() ? 0.0 : dot(w.gate.data() + matrix + j * d, x, d);
    const double bias = w.up_bias.empty() ? 0.0 : w.up_bias[e * ff + j];
    hidden.push_back(activation(kind, gate, dot(w.up.data() + matrix + j * d, x, d) + bias));
  }
  std::vector<Output> y(d);
  for (int i = 0; i < d; ++i) {
    y[i].value = w.down_bias.empty() ? 0.0 : w.down_bias[e * d + i];
    for (int j = 0; j < ff; ++j) {
      const double product = w.down[matrix + i * ff + j] * hidden[j];
      y[i].value += product;
      y[i].size += std::abs(product);
    }
  }
  return y;
}

}  // namespace

std::vector<float> random_values(std::size_t n, unsigned seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

void round_to_bf16(std::vector<float>& values) {
  for (float& x : values) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    x = std::bit_cast<float>((bits + 0x7fffU + (bits >> 16 & 1U)) & 0xffff0000U);
  }
}

LayerWeights::LayerWeights(const ExpertLayerShape& s, bool biased) : shape(s) {
  const auto cells = static_cast<std::size_t>(s.experts) * s.d_model * s.d_ff;
  const auto scale = static_cast<float>(1.0 / std::sqrt(s.d_model));
  if (s.kind == ExpertKind::kSwiGlu) gate = random_values(cells, 1, scale);
  up = random_values(cells, 2, scale);
  down = random_values(cells, 3, 0.3F);
  if (biased) up_bias = random_values(static_cast<std::size_t>(s.experts) * s.d_ff, 4, 1.0F);
  if (biased) down_bias = random_values(static_cast<std::size_t>(s.experts) * s.d_model, 5, 1.0F);
}

ExpertTensors LayerWeights::tensors() const {
  const auto view = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
  return {view(gate), view(up), view(down), view(up_bias), view(down_bias)};
}

void LayerWeights::cut_to_bf16() {
  for (auto* w : {&gate, &up, &down}) round_to_bf16(*w);
}

void LayerWeights::quantise(int e, Int4Format format) {
  const auto matrix = static_cast<std::ptrdiff_t>(shape.d_model) * shape.d_ff;
  const auto trip = [&](std::vector<float>& all, int rows, int columns) {
    if (all.empty()) return;
    float* w = all.data() + e * matrix;
    dequantise_int4(quantise_int4(w, rows, columns, format), w);
  };
  trip(gate, shape.d_ff, shape.d_model);
  trip(up, shape.d_ff, shape.d_model);
  trip(down, shape.d_model, shape.d_ff);
}

Batch::Batch(const ExpertLayerShape& shape, int token_count, int slot_count, unsigned seed,
             int active)
    : tokens(token_count), slots(slot_count) {
  std::mt19937 random(seed);
  const int last = (active > 0 ? active : shape.experts) - 1;
  std::uniform_int_distribution<int> pick(0, last);
  hidden = random_values(static_cast<std::size_t>(tokens) * shape.d_model, seed, 1.0F);
  weight = random_values(static_cast<std::size_t>(tokens) * slots, seed + 1, 1.0F);
  for (float& w : weight) {
    const auto row = expert.end() - static_cast<std::ptrdiff_t>(expert.size()) % slots;
    const int id = random() % 6 == 0 ? -1 : pick(random);
    expert.push_back(std::find(row, expert.end(), id) == expert.end() ? id : -1);
    if (expert.back() < 0) w = 0.0F;
  }
}

ExpertsCall::ExpertsCall(const ExpertBankView& bank, const Batch& batch,
                         std::span<const std::uint8_t> variant)
    : first(bank.shape.experts + 1),
      pair(batch.expert.size()),
      workspace(grouped_experts_workspace(Backend::kCpu, bank.shape, batch.tokens, batch.slots)),
      out(batch.hidden.size(), -77.0F) {
  const ExpertOrder order{first.data(), pair.data()};
  order_by_expert(batch.expert.data(), batch.tokens, batch.slots, bank.shape.experts, order);
  args = {.bank = bank,
          .hidden = batch.hidden.data(),
          .tokens = batch.tokens,
          .expert = batch.expert.data(),
          .weight = batch.weight.data(),
          .slots = batch.slots,
          .order = order,
          .variant = variant.empty() ? nullptr : variant.data(),
          .workspace = workspace.data(),
          .workspace_size = workspace.size(),
          .out = out.data()};
}

std::vector<float> run(const KernelBackend& backend, const ExpertBank& bank, const Batch& batch,
                       std::span<const std::uint8_t> variant) {
  ExpertsCall call(bank.view(), batch, variant);
  backend.grouped_experts(call.args);
  return call.out;
}

LayerWeights weights_for(const KernelBackend& backend, const ExpertLayerShape& shape, bool biased) {
  LayerWeights weights(shape, biased);
  if (backend.multiplies_bf16) weights.cut_to_bf16();
  return weights;
}

Batch batch_for(const KernelBackend& backend, const ExpertLayerShape& shape, int tokens, int slots,
                unsigned seed, int active) {
  Batch batch(shape, tokens, slots, seed, active);
  if (backend.multiplies_bf16) round_to_bf16(batch.hidden);
  return batch;
}

void expect_matches_oracle(const KernelBackend& backend, const std::vector<float>& out,
                           const LayerWeights& w, const Batch& batch, double output_error) {
  const int d = w.shape.d_model;
  const double rounding = backend.multiplies_bf16 ? 1.02 / 256.0 : 0.0;
  for (int t = 0; t < batch.tokens; ++t) {
    std::vector<Output> want(d);
    for (int s = 0; s < batch.slots; ++s) {
      const auto at = static_cast<std::size_t>(t) * batch.slots + s;
      if (batch.expert[at] < 0) continue;
      const auto y = expert_oracle(w, batch.expert[at], batch.hidden.data() + t * d);
      for (int i = 0; i < d; ++i) {
        want[i].value += batch.weight[at] * y[i].value;
        want[i].size += std::abs(batch.weight[at]) * y[i].size;
      }
    }
    for (int i = 0; i < d; ++i) {
      const double tolerance =
          3e-5 + rounding * want[i].size + output_error * std::abs(want[i].value);
      ASSERT_NEAR(out[static_cast<std::size_t>(t) * d + i], want[i].value, tolerance)
          << t << ' ' << i;
    }
  }
}

}  // namespace thermoe
