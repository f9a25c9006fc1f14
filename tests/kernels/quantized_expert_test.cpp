// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantized_expert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/errors.h"
#include "kernel_backend.h"
#include "kernels/aligned_vector.h"
#include "kernels/expert_bank.h"
#include "kernels/expert_epilogue.h"

namespace thermoe {
namespace {

constexpr int kModel = 64;
constexpr int kHidden = 96;

class QuantizedExpertTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(QuantizedExpert, QuantizedExpertTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

std::vector<float> random_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

struct F32Expert {
  std::vector<float> gate = random_values(kModel * kHidden, 1);
  std::vector<float> up = random_values(kModel * kHidden, 2);
  std::vector<float> down = random_values(kModel * kHidden, 3);

  ExpertMatrices matrices(ExpertKind kind) const {
    return {.gate = kind == ExpertKind::kSwiGlu ? gate.data() : nullptr,
            .up = up.data(),
            .down = down.data()};
  }
};

/// Every token through one expert of weight 1 by the grouped kernel.
std::vector<float> grouped(const KernelBackend& backend, ExpertKind kind, QuantizedExpert expert,
                           const std::vector<float>& x) {
  ExpertBank bank({.experts = 1, .d_model = kModel, .d_ff = kHidden, .kind = kind});
  bank.load_int4({std::move(expert)});
  const auto tokens = static_cast<std::int32_t>(x.size() / kModel);
  const std::vector<std::int32_t> ids(tokens, 0);
  const std::vector<float> ones(tokens, 1.0F);
  std::vector<std::int32_t> first(2);
  std::vector<std::int32_t> pair(tokens);
  const ExpertOrder order{first.data(), pair.data()};
  order_by_expert(ids.data(), tokens, 1, 1, order);
  AlignedVector<std::byte> workspace(
      grouped_experts_workspace(Backend::kCpu, bank.shape(), tokens, 1));
  std::vector<float> out(x.size());
  backend.grouped_experts({.bank = bank.view(),
                           .hidden = x.data(),
                           .tokens = tokens,
                           .expert = ids.data(),
                           .weight = ones.data(),
                           .slots = 1,
                           .order = order,
                           .workspace = workspace.data(),
                           .workspace_size = workspace.size(),
                           .out = out.data()});
  return out;
}

// Whoever runs one expert alone, matrix by matrix, gets what a layer of experts gets.
TEST_P(QuantizedExpertTest, FusedDequantLinearTwiceGivesTheBitsOfTheGroupedKernel) {
  const F32Expert f32;
  for (const ExpertKind kind : {ExpertKind::kSwiGlu, ExpertKind::kRelu, ExpertKind::kGelu}) {
    for (const bool zeros : {false, true}) {
      for (const int tokens : {1, 7, 40}) {
        const auto expert = quantise_expert(f32.matrices(kind), kModel, kHidden, {32, zeros});
        const auto x = random_values(static_cast<std::size_t>(tokens) * kModel, 4);
        std::vector<float> hidden(static_cast<std::size_t>(tokens) * kHidden);
        std::vector<float> out(x.size());
        const bool gated = kind == ExpertKind::kSwiGlu;
        GetParam().fused_dequant_linear({.x = x.data(),
                                         .tokens = tokens,
                                         .weights = (gated ? expert.gate : expert.up).view(),
                                         .epilogue = epilogue_of(kind),
                                         .up = gated ? expert.up.view() : Int4View{},
                                         .out = hidden.data()});
        GetParam().fused_dequant_linear({.x = hidden.data(),
                                         .tokens = tokens,
                                         .weights = expert.down.view(),
                                         .out = out.data()});
        EXPECT_EQ(grouped(GetParam(), kind, expert, x), out) << tokens << " tokens";
      }
    }
  }
}

TEST(QuantizedExpert, NeedsLessThanAFifthOfTheBytes) {
  const F32Expert f32;
  for (const ExpertKind kind : {ExpertKind::kSwiGlu, ExpertKind::kRelu}) {
    const auto expert = quantise_expert(f32.matrices(kind), kModel, kHidden, {.group = 32});
    const std::size_t matrices = kind == ExpertKind::kSwiGlu ? 3 : 2;
    EXPECT_LT(expert.byte_size(), matrices * kModel * kHidden * sizeof(float) / 5);
    EXPECT_FALSE(expert.has_zero_points());
  }
}

TEST(QuantizedExpert, RefusesGroupsThatDoNotDivideIt) {
  const F32Expert f32;
  const auto matrices = f32.matrices(ExpertKind::kSwiGlu);
  EXPECT_THROW(quantise_expert(matrices, kModel, kHidden, {.group = 64}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
