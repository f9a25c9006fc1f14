// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "grouped_experts_problem.h"

namespace thermoe {
namespace {

// What only the CPU backend does: f32 weights, and checks of values that it can read.
class CpuExpertsTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(CpuExperts, CpuExpertsTest, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

TEST_P(CpuExpertsTest, Bf16WeightsGiveTheBitsThatF32Gives) {
  const ExpertLayerShape shape{.experts = 2, .d_model = 48, .d_ff = 40};
  LayerWeights weights = weights_for(GetParam(), shape);
  weights.cut_to_bf16();
  ExpertBank narrow(shape);
  narrow.load_f32(weights.tensors());
  // One weight of an expert without tokens keeps the other bank from being narrow.
  weights.up.back() = 0.3F;
  ExpertBank wide(shape);
  wide.load_f32(weights.tensors());
  Batch batch = batch_for(GetParam(), shape, 13, 1);
  std::fill(batch.expert.begin(), batch.expert.end(), 0);
  ASSERT_TRUE(narrow.f32_is_bf16() && !wide.f32_is_bf16());
  EXPECT_EQ(run(GetParam(), narrow, batch), run(GetParam(), wide, batch));
}

TEST_P(CpuExpertsTest, RefusesBadArguments) {
  const ExpertLayerShape shape{.experts = 3, .d_model = 8, .d_ff = 8};
  const LayerWeights weights = weights_for(GetParam(), shape);
  ExpertBank bank(shape);
  const ExpertBank empty(shape);
  bank.load_f32(weights.tensors());
  const Batch batch = batch_for(GetParam(), shape, 4, 2);
  const auto refuses = [&](auto&& spoil) {
    Batch own = batch;
    ExpertsCall bad(bank.view(), own);
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
  // Two picks of one expert, in the wrong order and the same one twice.
  const auto busy = [](const auto& a) {
    int e = 0;
    while (a.order.first[e + 1] - a.order.first[e] < 2) ++e;
    return a.order.pair + a.order.first[e];
  };
  refuses([&](auto& a, Batch&) { std::swap(busy(a)[0], busy(a)[1]); });
  refuses([&](auto& a, Batch&) { busy(a)[1] = busy(a)[0]; });
}

TEST(ExpertOrder, RefusesIdsOfNoExpert) {
  std::int32_t first[4];
  std::int32_t pair[2];
  for (const std::int32_t id : {-2, 3}) {
    const std::int32_t expert[] = {0, id};
    EXPECT_THROW(order_by_expert(expert, 1, 2, 3, {first, pair}), PreconditionError);
  }
}

}  // namespace
}  // namespace thermoe
