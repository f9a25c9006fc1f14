// SPDX-License-Identifier: Apache-2.0
#include "moe/language_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/errors.h"
#include "moe/energy_loss.h"
#include "moe/safetensors.h"
#include "moe/training_routing.h"

namespace thermoe {
namespace {

ModelConfig tiny() {
  return {.vocab = 32,
          .layers = 2,
          .d_model = 16,
          .heads = 2,
          .experts = 8,
          .top_k = 3,
          .d_ff = 4,
          .context = 24};
}

at::Tensor some_bytes() { return at::randint(0, 32, {2, 12}, at::kLong); }

TEST(LanguageModel, ALayersForwardEqualsExpertsOneByOne) {
  torch::manual_seed(1);
  SimpleMoELayer layer(tiny());
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({5, 16});
  TrainingRouting routing;
  const at::Tensor all = layer->forward(x, {}, routing);
  const auto named = layer->named_parameters();
  at::Tensor one_by_one = at::zeros_like(x);
  for (int t = 0; t < 5; ++t) {
    for (int slot = 0; slot < routing.ids.size(1); ++slot) {
      const int e = routing.ids[t][slot].item<int>();
      const double weight = routing.weights[t][slot].item<double>();
      const at::Tensor hidden =
          at::silu(at::mv(named["gate"][e], x[t])) * at::mv(named["up"][e], x[t]);
      one_by_one[t] += weight * at::mv(named["down"][e], hidden);
    }
  }
  EXPECT_TRUE(at::allclose(all, one_by_one, 1e-4, 1e-5));
}

TEST(LanguageModel, ALaterByteChangesNothingBeforeIt) {
  torch::manual_seed(2);
  LanguageModel model(tiny());
  const at::NoGradGuard no_grad;
  at::Tensor bytes = some_bytes();
  const at::Tensor before = model->forward(bytes).logits;
  bytes[0][8] = (bytes[0][8].item<std::int64_t>() + 1) % 32;
  const at::Tensor after = model->forward(bytes).logits;
  EXPECT_TRUE(at::allclose(before.narrow(1, 0, 8), after.narrow(1, 0, 8), 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(before[0][8], after[0][8], 1e-5, 1e-6));
}

TEST(LanguageModel, ACheckpointComesBackAsItWas) {
  torch::manual_seed(3);
  const std::string path =
      std::string(::testing::TempDir()) + "/language_model_roundtrip.safetensors";
  LanguageModel model(tiny());
  save_language_model(model, path, at::kFloat);
  LanguageModel again = load_language_model(path);
  EXPECT_EQ(again->config(), tiny());
  const at::NoGradGuard no_grad;
  const at::Tensor bytes = some_bytes();
  EXPECT_TRUE(at::equal(model->forward(bytes).logits, again->forward(bytes).logits));
  std::filesystem::remove(path);
}

TEST(LanguageModel, ACheckpointWithAnotherShapeIsRefusedByTensor) {
  const std::string path = std::string(::testing::TempDir()) + "/language_model_shape.safetensors";
  LanguageModel model(tiny());
  save_language_model(model, path, at::kFloat);
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<TensorView> tensors = file.tensors();
  for (TensorView& t : tensors) {
    if (t.name == "layers.1.moe.router.weight") t.shape = {16, 8};
  }
  write_safetensors(path, tensors, file.metadata());
  try {
    load_language_model(path);
    FAIL() << "a transposed router was accepted";
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("layers.1.moe.router.weight"));
  }
  std::filesystem::remove(path);
}

TEST(TrainingRouting, RowsHoldTheKBestAndSumToOne) {
  torch::manual_seed(4);
  const TrainingRouting routing = route_for_training(at::randn({20, 8}), 3, {});
  EXPECT_TRUE(at::equal(routing.picked.sum(-1), at::full({20}, 3.0)));
  EXPECT_TRUE(at::allclose(routing.weights.sum(-1), at::ones({20})));
  EXPECT_TRUE(at::all(routing.picked.gather(1, routing.ids.to(at::kLong)) == 1.0).item<bool>());
  const at::Tensor worst_kept =
      at::where(routing.picked > 0, routing.probabilities, at::ones({1})).amin(-1);
  const at::Tensor best_left =
      at::where(routing.picked > 0, at::zeros({1}), routing.probabilities).amax(-1);
  EXPECT_TRUE(at::all(worst_kept >= best_left).item<bool>());
}

TEST(TrainingRouting, ElasticTokensTakeTheirOwnK) {
  torch::manual_seed(5);
  const at::Tensor k = at::tensor({1, 2, 3, 2}, at::kLong);
  const TrainingRouting routing = route_for_training(at::randn({4, 8}), 3, k);
  EXPECT_TRUE(at::equal(routing.picked.sum(-1).to(at::kLong), k));
  EXPECT_TRUE(at::equal(routing.ids.ge(0).sum(-1), k));
  EXPECT_TRUE(at::equal(routing.weights.gt(0.0), routing.ids.ge(0)));
  EXPECT_TRUE(at::allclose(routing.weights.sum(-1), at::ones({4})));
}

TEST(TrainingRouting, ABalancedRouterHasALoadBalanceLossOfOne) {
  // Every expert is picked equally often with equal mean probability.
  const at::Tensor logits = at::eye(8).repeat({4, 1}) * 3.0;
  EXPECT_NEAR(load_balance_loss(route_for_training(logits, 1, {})).item<double>(), 1.0, 1e-5);
  at::Tensor collapsed = at::zeros({16, 8});
  collapsed.select(1, 2).fill_(10.0);
  EXPECT_GT(load_balance_loss(route_for_training(collapsed, 1, {})).item<double>(), 6.0);
}

TEST(EnergyLoss, EqualsTheExpectedActivationOfIndependentPicks) {
  torch::manual_seed(6);
  const at::Tensor p = at::softmax(at::randn({4, 3, 8}), -1);  // 4 sequences, 3 positions
  double expected = 0.0;
  for (int batch = 0; batch < 2; ++batch) {
    for (int s = 0; s < 3; ++s) {
      for (int e = 0; e < 8; ++e) {
        double miss = 1.0;
        for (int t = 0; t < 2; ++t)
          miss *= std::pow(1.0 - p[2 * batch + t][s][e].item<double>(), 3);
        expected += (1.0 - miss) / (2 * 3 * 8);
      }
    }
  }
  EXPECT_NEAR(compute_energy_loss(p, 3, 2).item<double>(), expected, 1e-5);
}

TEST(EnergyLoss, AConcentratedRouterCostsLessThanASpreadOne) {
  const at::Tensor spread = at::full({4, 1, 8}, 1.0 / 8);
  const at::Tensor concentrated =
      at::softmax(at::tensor({5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}), -1).expand({4, 1, 8});
  EXPECT_LT(compute_energy_loss(concentrated, 2, 4).item<double>(),
            compute_energy_loss(spread, 2, 4).item<double>());
}

TEST(EnergyLoss, HasAGradientForTheRouterWithEqualCosts) {
  torch::manual_seed(7);
  const at::Tensor logits = at::randn({4, 2, 8}).requires_grad_();
  compute_energy_loss(at::softmax(logits, -1), 2, 4).backward();
  EXPECT_GT(logits.grad().abs().sum().item<double>(), 1e-4);
}

TEST(EnergyLoss, WeighsExpertsByTheirCost) {
  const at::Tensor p = at::softmax(at::tensor({4.0, 0.0, 0.0, 0.0}), -1).expand({2, 1, 4});
  const at::Tensor dear_first = at::tensor({9.0, 1.0, 1.0, 1.0});
  const at::Tensor dear_last = at::tensor({1.0, 1.0, 1.0, 9.0});
  EXPECT_GT(compute_energy_loss(p, 1, 2, dear_first).item<double>(),
            compute_energy_loss(p, 1, 2, dear_last).item<double>());
}

}  // namespace
}  // namespace thermoe
