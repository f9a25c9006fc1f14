// SPDX-License-Identifier: Apache-2.0
#include "moe/simple_expert.h"

#include <gtest/gtest.h>

#include "core/errors.h"
#include "kernels/aligned_vector.h"
#include "kernels/expert_bank.h"
#include "kernels/grouped_experts.h"
#include "moe/tensor_routing.h"

namespace thermoe {
namespace {

constexpr int kTokens = 6;

ModelConfig small_layer() {
  return {.layers = 2, .d_model = 32, .heads = 2, .experts = 8, .top_k = 3, .d_ff = 48};
}

class SimpleExpertTest : public ::testing::Test {
 protected:
  SimpleExpertTest() {
    torch::manual_seed(3);
    experts_ = SimpleExpert::random(config_);
    x_ = at::randn({kTokens, config_.d_model});
    AdaptiveRouter router(router_spec(config_), kTokens);
    routing_ = route_batches(router, at::randn({kTokens, config_.experts}), kTokens,
                             RoutingPlan(1, config_.experts, config_.top_k), 0);
    gates_ = at::zeros({kTokens, config_.experts})
                 .scatter_(1, routing_.indices.to(at::kLong), routing_.weights);
  }

  ModelConfig config_ = small_layer();
  SimpleExpert experts_{};
  at::Tensor x_;
  Routing routing_{};
  at::Tensor gates_;
};

TEST_F(SimpleExpertTest, IsTheSumOfItsFormulaOverATokensPicks) {
  at::Tensor want = at::zeros_like(x_);
  for (int t = 0; t < kTokens; ++t) {
    for (int e = 0; e < config_.experts; ++e) {
      const at::Tensor g = at::mv(experts_.gate[e], x_[t]);
      const at::Tensor hidden = g * at::sigmoid(g) * at::mv(experts_.up[e], x_[t]);
      want[t] += gates_[t][e] * at::mv(experts_.down[e], hidden);
    }
  }
  EXPECT_TRUE(at::allclose(experts_.forward(x_, gates_), want, 1e-4, 1e-5));
}

TEST_F(SimpleExpertTest, ComputesWhatTheGroupedKernelDecodesWith) {
  ExpertBank bank({.experts = config_.experts, .d_model = config_.d_model, .d_ff = config_.d_ff});
  bank.load_f32({.gate = experts_.gate.const_data_ptr<float>(),
                 .up = experts_.up.const_data_ptr<float>(),
                 .down = experts_.down.const_data_ptr<float>()});
  const auto* expert = routing_.indices.const_data_ptr<std::int32_t>();
  std::vector<std::int32_t> first(config_.experts + 1);
  std::vector<std::int32_t> pair(routing_.indices.numel());
  const ExpertOrder order{first.data(), pair.data()};
  order_by_expert(expert, kTokens, config_.top_k, config_.experts, order);
  AlignedVector<std::byte> workspace(
      grouped_experts_workspace(Backend::kCpu, bank.shape(), kTokens, config_.top_k));
  const at::Tensor out = at::empty_like(x_);
  grouped_experts(Backend::kCpu,
                  {.bank = bank.view(),
                   .hidden = x_.const_data_ptr<float>(),
                   .tokens = kTokens,
                   .expert = expert,
                   .weight = routing_.weights.const_data_ptr<float>(),
                   .slots = config_.top_k,
                   .order = order,
                   .workspace = workspace.data(),
                   .workspace_size = workspace.size(),
                   .out = out.mutable_data_ptr<float>()},
                  Stream{nullptr});
  EXPECT_TRUE(at::allclose(experts_.forward(x_, gates_), out, 1e-4, 1e-5));
}

TEST_F(SimpleExpertTest, OnlyExpertsThatATokenTakesGetAGradient) {
  for (at::Tensor* weight : {&experts_.gate, &experts_.up, &experts_.down}) {
    weight->set_requires_grad(true);
  }
  experts_.forward(x_, gates_).sum().backward();
  for (int e = 0; e < config_.experts; ++e) {
    const bool taken = routing_.counts[0][e].item<int>() > 0;
    for (const at::Tensor* weight : {&experts_.gate, &experts_.up, &experts_.down}) {
      EXPECT_EQ(weight->grad()[e].abs().sum().item<float>() > 0.0F, taken) << "expert " << e;
    }
  }
}

/// Gradients of x, the three weights and the mixing weights, after a form's backward pass.
std::vector<at::Tensor> gradients(const at::Tensor& out, const std::vector<at::Tensor>& of) {
  torch::manual_seed(11);
  return torch::autograd::grad({(out * at::randn(out.sizes())).sum()}, of);
}

TEST_F(SimpleExpertTest, OnItsOwnTokensRowsIsTheWideFormWithTheSameGradients) {
  const at::Tensor ids = routing_.indices.clone();
  at::Tensor weights = routing_.weights.clone();
  ids[1][2] = -1;  // a token that takes fewer
  ids[4].fill_(-1);
  const at::Tensor taken = ids.ge(0).to(at::kFloat);
  for (at::Tensor* t : {&x_, &experts_.gate, &experts_.up, &experts_.down, &weights}) {
    t->set_requires_grad(true);
  }
  const std::vector<at::Tensor> leaves{x_, experts_.gate, experts_.up, experts_.down, weights};
  const at::Tensor gates =
      at::zeros_like(gates_).scatter_add(1, ids.clamp_min(0).to(at::kLong), weights * taken);
  const at::Tensor wide = experts_.forward(x_, gates);
  const at::Tensor rows = experts_.forward(x_, ids, weights);
  EXPECT_TRUE(at::allclose(rows, wide, 1e-5, 1e-6));
  EXPECT_TRUE(rows[4].eq(0.0).all().item<bool>());
  const std::vector<at::Tensor> want = gradients(wide, leaves);
  const std::vector<at::Tensor> got = gradients(rows, leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_TRUE(at::allclose(got[i], want[i], 1e-4, 1e-5)) << "gradient " << i;
  }
}

TEST_F(SimpleExpertTest, RowsThatTheGroupedProductDoesNotTakeGoTheWideWay) {
  config_.d_ff = 47;
  const SimpleExpert odd = SimpleExpert::random(config_);
  routing_.indices[2][1] = -1;
  gates_[2] = at::zeros({config_.experts})
                  .scatter(0, routing_.indices[2].clamp_min(0).to(at::kLong), routing_.weights[2]);
  gates_[2][0] = routing_.indices[2].eq(0).to(at::kFloat).dot(routing_.weights[2]);
  EXPECT_TRUE(at::allclose(odd.forward(x_, routing_.indices, routing_.weights),
                           odd.forward(x_, gates_), 1e-5, 1e-6));
}

TEST_F(SimpleExpertTest, OnItsOwnTokensRowsComputesInBf16WhereAsked) {
  const at::Tensor exact = experts_.forward(x_, routing_.indices, routing_.weights);
  const at::Tensor rounded =
      experts_.forward(x_, routing_.indices, routing_.weights, at::kBFloat16);
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  EXPECT_LT((rounded - exact).norm().item<float>(), 2e-2 * exact.norm().item<float>());
  EXPECT_FALSE(at::equal(rounded, exact));
}

TEST_F(SimpleExpertTest, NoTokensGiveNoRowsAndOtherShapesAreRefused) {
  EXPECT_EQ(experts_.forward(x_.slice(0, 0, 0), gates_.slice(0, 0, 0)).size(0), 0);
  EXPECT_EQ(experts_
                .forward(x_.slice(0, 0, 0), routing_.indices.slice(0, 0, 0),
                         routing_.weights.slice(0, 0, 0))
                .size(0),
            0);
  EXPECT_THROW(experts_.forward(x_, routing_.indices.to(at::kLong), routing_.weights),
               PreconditionError);
  EXPECT_THROW(experts_.forward(x_, routing_.indices, routing_.weights.slice(1, 0, 1)),
               PreconditionError);
  EXPECT_THROW(experts_.forward(at::zeros({2, 31}), at::zeros({2, 8})), PreconditionError);
  EXPECT_THROW(experts_.forward(at::zeros({2, 32}), at::zeros({2, 7})), PreconditionError);
}

}  // namespace
}  // namespace thermoe
