// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/errors.h"
#include "kernel_backend.h"
#include "kernels/aligned_vector.h"
#include "kernels/expert_bank.h"

namespace thermoe {
namespace {

class GroupedExpertsTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(GroupedExperts, GroupedExpertsTest, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

std::vector<float> random_values(std::size_t n, unsigned seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

/// A layer's dense weights and what a bank is loaded from.
struct LayerWeights {
  explicit LayerWeights(const ExpertLayerShape& s, bool biased = false) : shape(s) {
    const auto cells = static_cast<std::size_t>(s.experts) * s.d_model * s.d_ff;
    const auto scale = static_cast<float>(1.0 / std::sqrt(s.d_model));
    if (s.kind == ExpertKind::kSwiGlu) gate = random_values(cells, 1, scale);
    up = random_values(cells, 2, scale);
    down = random_values(cells, 3, 0.3F);
    if (biased) up_bias = random_values(static_cast<std::size_t>(s.experts) * s.d_ff, 4, 1.0F);
    if (biased) down_bias = random_values(static_cast<std::size_t>(s.experts) * s.d_model, 5, 1.0F);
  }
  ExpertTensors tensors() const {
    const auto view = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
    return {view(gate), view(up), view(down), view(up_bias), view(down_bias)};
  }
  /// Cuts the weights to what bf16 can hold.
  void cut_to_bf16() {
    for (auto* w : {&gate, &up, &down}) {
      for (float& x : *w) {
        x = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xffff0000U);
      }
    }
  }
  /// The same weights after a trip through int4.
  void quantise(int e, Int4Format format) {
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
  ExpertLayerShape shape;
  std::vector<float> gate, up, down, up_bias, down_bias;
};

/// Tokens with their picks; about one slot in six is empty.
struct Batch {
  Batch(const ExpertLayerShape& shape, int tokens_, int slots_, unsigned seed = 9)
      : tokens(tokens_), slots(slots_) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> pick(0, shape.experts - 1);
    hidden = random_values(static_cast<std::size_t>(tokens) * shape.d_model, seed, 1.0F);
    weight = random_values(static_cast<std::size_t>(tokens) * slots, seed + 1, 1.0F);
    for (float& w : weight) {
      expert.push_back(random() % 6 == 0 ? -1 : pick(random));
      if (expert.back() < 0) w = 0.0F;
    }
  }
  int tokens;
  int slots;
  std::vector<float> hidden{};
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
};

/// A call on a batch, and what its pointers point to.
struct Call {
  Call(const ExpertBankView& bank, const Batch& batch, const std::uint8_t* variant = nullptr)
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
            .variant = variant,
            .workspace = workspace.data(),
            .workspace_size = workspace.size(),
            .out = out.data()};
  }
  std::vector<std::int32_t> first, pair;
  AlignedVector<std::byte> workspace;
  std::vector<float> out;
  GroupedExpertsArgs args{};
};

std::vector<float> run(const KernelBackend& backend, const ExpertBank& bank, const Batch& batch,
                       std::span<const std::uint8_t> variant = {}) {
  Call call(bank.view(), batch, variant.empty() ? nullptr : variant.data());
  backend.grouped_experts(call.args);
  return call.out;
}

double dot(const float* w, const float* x, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += double{w[i]} * x[i];
  return sum;
}
double dot(const float* w, const std::vector<double>& x) {
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += w[i] * x[i];
  return sum;
}

double activation(ExpertKind kind, double gate, double up) {
  if (kind == ExpertKind::kSwiGlu) return gate / (1.0 + std::exp(-gate)) * up;
  if (kind == ExpertKind::kRelu) return std::max(0.0, up);
  return 0.5 * up * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (up + 0.044715 * up * up * up)));
}

/// Expert e applied to x, in float64.
std::vector<double> expert_oracle(const LayerWeights& w, int e, const float* x) {
  const auto [experts, d, ff, kind] = w.shape;
  const auto matrix = static_cast<std::ptrdiff_t>(e) * d * ff;
  std::vector<double> hidden;
  for (int j = 0; j < ff; ++j) {
    const double gate = w.gate.empty() ? 0.0 : dot(w.gate.data() + matrix + j * d, x, d);
    const double bias = w.up_bias.empty() ? 0.0 : w.up_bias[e * ff + j];
    hidden.push_back(activation(kind, gate, dot(w.up.data() + matrix + j * d, x, d) + bias));
  }
  std::vector<double> y;
  for (int i = 0; i < d; ++i) {
    const double bias = w.down_bias.empty() ? 0.0 : w.down_bias[e * d + i];
    y.push_back(dot(w.down.data() + matrix + i * ff, hidden) + bias);
  }
  return y;
}

void expect_matches_oracle(const std::vector<float>& out, const LayerWeights& w,
                           const Batch& batch) {
  const int d = w.shape.d_model;
  for (int t = 0; t < batch.tokens; ++t) {
    std::vector<double> want(d, 0.0);
    for (int s = 0; s < batch.slots; ++s) {
      const auto at = static_cast<std::size_t>(t) * batch.slots + s;
      if (batch.expert[at] < 0) continue;
      const auto y = expert_oracle(w, batch.expert[at], batch.hidden.data() + t * d);
      for (int i = 0; i < d; ++i) want[i] += batch.weight[at] * y[i];
    }
    for (int i = 0; i < d; ++i) {
      ASSERT_NEAR(out[static_cast<std::size_t>(t) * d + i], want[i], 3e-5) << t << ' ' << i;
    }
  }
}

constexpr ExpertKind kKinds[] = {ExpertKind::kSwiGlu, ExpertKind::kRelu, ExpertKind::kGelu};

TEST_P(GroupedExpertsTest, MatchesTheOracleForEveryKindAndRaggedSize) {
  for (const ExpertKind kind : kKinds) {
    for (const auto& [d, ff] : {std::pair{48, 32}, {33, 17}, {16, 5}, {1, 1}}) {
      const ExpertLayerShape shape{.experts = 6, .d_model = d, .d_ff = ff, .kind = kind};
      const LayerWeights weights(shape, /*biased=*/kind != ExpertKind::kSwiGlu);
      ExpertBank bank(shape);
      bank.load_f32(weights.tensors());
      for (const int tokens : {0, 1, 2, 3, 9}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(kind) << ' ' << d << ' ' << tokens);
        const Batch batch(shape, tokens, 3);
        expect_matches_oracle(run(GetParam(), bank, batch), weights, batch);
      }
    }
  }
}

TEST_P(GroupedExpertsTest, MatchesTheOracleWhenOneExpertGetsMoreThanABlockOfTokens) {
  const ExpertLayerShape shape{.experts = 1, .d_model = 24, .d_ff = 16};
  const LayerWeights weights(shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  const Batch batch(shape, 3 * 32 + 5, 1);
  expect_matches_oracle(run(GetParam(), bank, batch), weights, batch);
}

TEST_P(GroupedExpertsTest, MatchesTheOracleWhereWeightsAreHeldAsBf16) {
  for (const ExpertKind kind : kKinds) {
    for (const auto& [d, ff] : {std::pair{96, 80}, {33, 17}, {16, 5}, {1, 1}}) {
      const ExpertLayerShape shape{.experts = 3, .d_model = d, .d_ff = ff, .kind = kind};
      LayerWeights weights(shape, /*biased=*/kind != ExpertKind::kSwiGlu);
      weights.cut_to_bf16();
      ExpertBank bank(shape);
      bank.load_f32(weights.tensors());
      ASSERT_TRUE(bank.f32_is_bf16());
      for (const int tokens : {1, 7, 23}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(kind) << ' ' << d << ' ' << tokens);
        const Batch batch(shape, tokens, 3);
        expect_matches_oracle(run(GetParam(), bank, batch), weights, batch);
      }
    }
  }
}

TEST_P(GroupedExpertsTest, Bf16WeightsGiveTheBitsThatF32Gives) {
  const ExpertLayerShape shape{.experts = 2, .d_model = 48, .d_ff = 40};
  LayerWeights weights(shape);
  weights.cut_to_bf16();
  ExpertBank narrow(shape);
  narrow.load_f32(weights.tensors());
  // One weight of an expert without tokens keeps the other bank from being narrow.
  weights.up.back() = 0.3F;
  ExpertBank wide(shape);
  wide.load_f32(weights.tensors());
  Batch batch(shape, 13, 1);
  std::fill(batch.expert.begin(), batch.expert.end(), 0);
  ASSERT_TRUE(narrow.f32_is_bf16() && !wide.f32_is_bf16());
  EXPECT_EQ(run(GetParam(), narrow, batch), run(GetParam(), wide, batch));
}

TEST_P(GroupedExpertsTest, Int4ExpertsMatchTheOracleOnTheirDequantisedWeights) {
  for (const ExpertKind kind : kKinds) {
    for (const bool zero : {false, true}) {
      const ExpertLayerShape shape{.experts = 4, .d_model = 64, .d_ff = 32, .kind = kind};
      LayerWeights weights(shape, kind == ExpertKind::kGelu);
      ExpertBank bank(shape);
      bank.load_int4(weights.tensors(), {32, zero});
      for (int e = 0; e < 4; ++e) weights.quantise(e, {32, zero});
      const Batch batch(shape, 7, 2);
      expect_matches_oracle(run(GetParam(), bank, batch), weights, batch);
    }
  }
}

TEST_P(GroupedExpertsTest, EachExpertRunsInThePrecisionThatItsVariantNames) {
  const ExpertLayerShape shape{.experts = 5, .d_model = 32, .d_ff = 32};
  LayerWeights weights(shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  bank.load_int4(weights.tensors(), {.group = 32});
  const std::vector<std::uint8_t> variant{0, 1, 0, 1, 1};
  const Batch batch(shape, 12, 3);
  for (int e = 0; e < 5; ++e) {
    if (variant[e] == 1) weights.quantise(e, {.group = 32});
  }
  expect_matches_oracle(run(GetParam(), bank, batch, variant), weights, batch);
}

TEST_P(GroupedExpertsTest, AnExpertWithoutTokensIsNeverRead) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 16, .d_ff = 16};
  LayerWeights weights(shape);
  for (auto* w : {&weights.gate, &weights.up, &weights.down}) {
    std::fill(w->begin() + 256, w->begin() + 512, std::numeric_limits<float>::quiet_NaN());
  }
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  Batch batch(shape, 10, 2);
  std::replace(batch.expert.begin(), batch.expert.end(), 1, 2);
  for (const float y : run(GetParam(), bank, batch)) EXPECT_TRUE(std::isfinite(y));
}

TEST_P(GroupedExpertsTest, ATokenWithoutExpertsGetsZeros) {
  const ExpertLayerShape shape{.experts = 2, .d_model = 8, .d_ff = 4};
  const LayerWeights weights(shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  Batch batch(shape, 3, 2);
  batch.expert = {0, 1, -1, -1, 1, -1};
  const std::vector<float> out = run(GetParam(), bank, batch);
  EXPECT_EQ(std::vector(out.begin() + 8, out.begin() + 16), std::vector<float>(8, 0.0F));
  EXPECT_NE(out[0], 0.0F);
}

TEST_P(GroupedExpertsTest, ATokensResultDoesNotDependOnTheBatch) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 40, .d_ff = 24};
  const LayerWeights weights(shape);
  ExpertBank bank(shape);
  bank.load_f32(weights.tensors());
  const Batch batch(shape, 19, 2);
  const std::vector<float> together = run(GetParam(), bank, batch);
  for (int t = 0; t < batch.tokens; ++t) {
    Batch one(shape, 1, 2);
    one.hidden.assign(batch.hidden.begin() + t * 40, batch.hidden.begin() + (t + 1) * 40);
    one.expert.assign(batch.expert.begin() + t * 2, batch.expert.begin() + (t + 1) * 2);
    one.weight.assign(batch.weight.begin() + t * 2, batch.weight.begin() + (t + 1) * 2);
    EXPECT_EQ(run(GetParam(), bank, one),
              std::vector(together.begin() + t * 40, together.begin() + (t + 1) * 40));
  }
}

TEST_P(GroupedExpertsTest, RefusesBadArguments) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 8, .d_ff = 8};
  const LayerWeights weights(shape);
  ExpertBank bank(shape);
  const ExpertBank empty(shape);
  bank.load_f32(weights.tensors());
  const Batch batch(shape, 4, 2);
  const auto refuses = [&](auto&& spoil) {
    Batch own = batch;
    Call bad(bank.view(), own);
    spoil(bad.args, own);
    EXPECT_THROW(GetParam().grouped_experts(bad.args), PreconditionError);
  };
  const std::vector<std::uint8_t> int4{1, 1, 1};
  const std::vector<std::uint8_t> unknown{0, 7, 0};
  refuses([&](auto& a, Batch&) { a.bank = empty.view(); });
  refuses([&](auto& a, Batch&) { a.workspace = nullptr; });
  refuses([&](auto& a, Batch&) { --a.workspace_size; });
  refuses([&](auto& a, Batch&) { a.hidden = nullptr; });
  refuses([&](auto& a, Batch&) { a.tokens = 1 << 30; });
  refuses([&](auto& a, Batch&) { a.out_type = FloatType::kBf16; });
  refuses([&](auto& a, Batch&) { a.variant = int4.data(); });
  refuses([&](auto& a, Batch&) { a.variant = unknown.data(); });
  refuses([&](auto&, Batch& own) { own.expert[0] = 3; });
  refuses([&](auto&, Batch& own) { own.expert[0] = -2; });
  refuses([&](auto& a, Batch&) { a.order.pair = nullptr; });
  refuses([&](auto& a, Batch&) { ++a.order.first[1]; });
  refuses([&](auto& a, Batch&) { --a.order.first[3]; });
  refuses([&](auto& a, Batch&) { a.order.pair[0] = 8; });
  refuses([&](auto& a, Batch&) { std::swap(a.order.pair[0], a.order.pair[5]); });
}

}  // namespace
}  // namespace thermoe
