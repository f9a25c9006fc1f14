// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/errors.h"
#include "moe/quantized_expert.h"
#include "moe/simple_expert.h"

namespace thermoe {
namespace {

constexpr int kModel = 64;
constexpr int kHidden = 96;

double relative_error(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

at::Tensor dequantised(const Int4Weights& packed) {
  at::Tensor w = at::empty({packed.outputs(), packed.inputs()});
  dequantise_int4(packed, w.mutable_data_ptr<float>());
  return w;
}

/// The formula of the expert, written out with torch's own functions.
at::Tensor reference(ExpertKind kind, const at::Tensor& x, const at::Tensor& gate,
                     const at::Tensor& up, const at::Tensor& down, const at::Tensor& up_bias,
                     const at::Tensor& down_bias) {
  at::Tensor first = at::matmul(x, up.t());
  if (up_bias.defined()) first = first + up_bias;
  at::Tensor hidden;
  if (kind == ExpertKind::kSwiGlu) {
    const at::Tensor g = at::matmul(x, gate.t());
    hidden = g * at::sigmoid(g) * first;
  } else if (kind == ExpertKind::kRelu) {
    hidden = at::clamp_min(first, 0.0);
  } else {
    hidden = 0.5 * first *
             (1.0 + at::tanh(0.7978845608028654 * (first + 0.044715 * first * first * first)));
  }
  const at::Tensor out = at::matmul(hidden, down.t());
  return down_bias.defined() ? out + down_bias : out;
}

class Experts : public ::testing::TestWithParam<ExpertKind> {
 protected:
  Experts() {
    torch::manual_seed(3);
    const bool plain = GetParam() != ExpertKind::kSwiGlu;
    expert_ = SimpleExpert(
        ExpertOptions{.d_model = kModel, .d_ff = kHidden, .kind = GetParam(), .bias = plain});
    if (plain) {
      const at::NoGradGuard no_grad;
      for (auto& item : expert_->named_parameters()) {
        if (item.key().ends_with("bias")) item.value().normal_();
      }
    }
    x_ = at::randn({7, kModel});
  }

  SimpleExpert expert_{nullptr};
  at::Tensor x_;
};

TEST_P(Experts, SimpleIsItsFormula) {
  const at::Tensor want = reference(GetParam(), x_, expert_->gate(), expert_->up(), expert_->down(),
                                    expert_->up_bias(), expert_->down_bias());
  EXPECT_LT(relative_error(expert_->forward(x_), want), 1e-5);
}

TEST_P(Experts, EveryParameterOfSimpleGetsAGradient) {
  expert_->forward(x_).square().sum().backward();
  EXPECT_EQ(expert_->parameters().size(), GetParam() == ExpertKind::kSwiGlu ? 3U : 4U);
  for (const auto& item : expert_->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_GT(item.value().grad().norm().item<double>(), 0.0) << item.key();
  }
}

TEST_P(Experts, QuantizedIsTheFormulaOnItsRoundedWeights) {
  for (const bool with_zero_point : {false, true}) {
    const QuantizedExpert quantized(expert_, {.group = 32, .with_zero_point = with_zero_point});
    const bool gated = GetParam() == ExpertKind::kSwiGlu;
    const at::Tensor want =
        reference(GetParam(), x_, gated ? dequantised(quantized.gate()) : at::Tensor(),
                  dequantised(quantized.up()), dequantised(quantized.down()), expert_->up_bias(),
                  expert_->down_bias());
    const at::Tensor got = quantized.forward(x_);
    EXPECT_LT(relative_error(got, want), 1e-5);
    const double rounding = relative_error(got, expert_->forward(x_));
    EXPECT_GT(rounding, 1e-3);
    EXPECT_LT(rounding, 0.25);
    EXPECT_FALSE(got.requires_grad());
  }
}

TEST_P(Experts, QuantizedNeedsLessThanAFifthOfTheBytes) {
  const QuantizedExpert quantized(expert_, {.group = 32});
  const std::size_t matrices = GetParam() == ExpertKind::kSwiGlu ? 3 : 2;
  const std::size_t full = matrices * kModel * kHidden * sizeof(float);
  EXPECT_LT(quantized.byte_size(), full / 5);
}

TEST_P(Experts, NoTokensGiveNoRows) {
  const QuantizedExpert quantized(expert_, {.group = 32});
  EXPECT_EQ(expert_->forward(at::empty({0, kModel})).size(0), 0);
  EXPECT_EQ(quantized.forward(at::empty({0, kModel})).size(0), 0);
}

TEST_P(Experts, RefuseInputsThatDoNotFit) {
  const QuantizedExpert quantized(expert_, {.group = 32});
  EXPECT_THROW(expert_->forward(at::zeros({2, kModel + 1})), PreconditionError);
  EXPECT_THROW(quantized.forward(at::zeros({2, kModel + 1})), PreconditionError);
  EXPECT_THROW(quantized.forward(at::zeros({2, kModel}, at::kDouble)), PreconditionError);
  EXPECT_THROW(QuantizedExpert(expert_, {.group = 64}), PreconditionError);  // 96 is no multiple
}

std::string kind_name(const ::testing::TestParamInfo<ExpertKind>& info) {
  switch (info.param) {
    case ExpertKind::kSwiGlu:
      return "SwiGlu";
    case ExpertKind::kRelu:
      return "Relu";
    case ExpertKind::kGelu:
      return "Gelu";
  }
  return "Unknown";
}

INSTANTIATE_TEST_SUITE_P(Kinds, Experts,
                         ::testing::Values(ExpertKind::kSwiGlu, ExpertKind::kRelu,
                                           ExpertKind::kGelu),
                         kind_name);

TEST(SimpleExpert, AGatedExpertHasNoBiases) {
  EXPECT_THROW(SimpleExpert(ExpertOptions{.d_model = 4, .d_ff = 4, .bias = true}),
               PreconditionError);
}

}  // namespace
}  // namespace thermoe
