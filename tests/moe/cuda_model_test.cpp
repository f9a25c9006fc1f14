// SPDX-License-Identifier: Apache-2.0
// The model on a CUDA device against the same model on the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/errors.h"
#include "moe/decoder.h"
#include "moe/device.h"
#include "moe/sequence_scorer.h"
#include "moe/simple_expert.h"
#include "moe/tensor_routing.h"
#include "random_checkpoint.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

constexpr int kBatch = 8;
constexpr int kLength = 40;

double relative_error(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor exact = want.cpu().to(at::kDouble);
  return ((got.cpu().to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

class CudaModel : public ::testing::Test {
 protected:
  CudaModel() {
    RandomCheckpoint checkpoint(config_, 5);
    for (auto& parameter : checkpoint.parameters) {
      for (float& v : parameter.values) {  // as most checkpoints are
        v = std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffff0000U);
      }
    }
    checkpoint.write(path_);
    priced_.layer(0).extra_k_share = 0.5F;
    priced_.layer(1).k_min = 1;
    std::ranges::fill(priced_.activation_price(1), 2.0F);
  }

  ModelConfig config_ = {
      .layers = 2, .d_model = 32, .heads = 2, .experts = 16, .top_k = 3, .d_ff = 32, .context = 48};
  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
  RoutingPlan baseline_ = baseline_plan(config_);
  RoutingPlan priced_ = baseline_plan(config_);
};

TEST_F(CudaModel, ScoresAsOnTheCpuWhateverPartRunsThere) {
  const std::vector<std::uint8_t> text = random_bytes(kBatch * kLength, 6);
  const auto host = SequenceScorer::load(path_);
  for (const ScorerOptions& options :
       {ScorerOptions{.device = "cuda"}, ScorerOptions{.device = "cuda", .kernels = Backend::kCpu},
        ScorerOptions{.kernels = Backend::kCuda}}) {
    const auto device = SequenceScorer::load(path_, options);
    for (const RoutingPlan* plan : {&baseline_, &priced_}) {
      const SequenceScore want = host->score(text, kBatch, kLength, *plan);
      const SequenceScore got = device->score(text, kBatch, kLength, *plan);
      EXPECT_NEAR(got.bits_per_byte, want.bits_per_byte, 0.01 * want.bits_per_byte);
      EXPECT_NEAR(got.mean_active, want.mean_active, 0.02 * want.mean_active);
      EXPECT_NEAR(got.kept_mass, want.kept_mass, 0.01);
      EXPECT_LT(plan == &priced_ ? got.kept_mass : 0.0, 0.999);
      EXPECT_EQ(got.bits.size(), want.bits.size());
    }
  }
}

TEST_F(CudaModel, RunsInt4ExpertsThereToo) {
  const std::vector<std::uint8_t> text = random_bytes(kBatch * kLength, 8);
  for (const ExpertType type : {ExpertType::kQuantized, ExpertType::kMixed}) {
    const auto host = SequenceScorer::load(path_, {.experts = type});
    const auto device = SequenceScorer::load(path_, {.experts = type, .device = "cuda"});
    const double want = host->score(text, kBatch, kLength, host->baseline()).bits_per_byte;
    const double got = device->score(text, kBatch, kLength, device->baseline()).bits_per_byte;
    EXPECT_NEAR(got, want, 0.01 * want);
    const auto simple = SequenceScorer::load(path_);
    EXPECT_GT(std::abs(simple->score(text, kBatch, kLength, baseline_).bits_per_byte - want),
              std::abs(got - want));  // it is the rounded weights that run
  }
}

TEST_F(CudaModel, RoutesManyDecodeBatchesInOneCallAsTheCpuDoesOneByOne) {
  AdaptiveRouter router(router_spec(config_), kBatch);
  torch::manual_seed(4);
  const at::Tensor logits = at::randn({5 * kBatch, config_.experts});
  for (int layer = 0; layer < 2; ++layer) {
    const Routing want = route_batches(router, logits, kBatch, priced_, layer);
    const Routing got =
        route_batches(router, logits.to(torch_device("cuda")), kBatch, priced_, layer);
    EXPECT_TRUE(got.indices.is_cuda());
    EXPECT_TRUE(at::equal(got.indices.cpu(), want.indices));
    EXPECT_TRUE(at::equal(got.weights.cpu(), want.weights));
    EXPECT_TRUE(at::equal(got.counts.cpu(), want.counts));
    EXPECT_TRUE(at::equal(got.kept_mass.cpu(), want.kept_mass));
  }
}

TEST_F(CudaModel, DecodesWithRoutingAndExpertsThereAsOnTheCpu) {
  const auto load = [&](Backend kernels) {
    return Decoder::load(path_,
                         {.streams = kBatch, .context = config_.context, .kernels = kernels});
  };
  const auto host = load(Backend::kCpu);
  const auto device = load(Backend::kCuda);
  double error = 0.0;
  for (unsigned s = 0; s < 12; ++s) {
    const auto bytes = random_bytes(kBatch, s);
    const RoutingPlan& plan = s % 2 == 0 ? baseline_ : priced_;
    const DecodeStep& want = host->step(bytes, plan);
    const DecodeStep& got = device->step(bytes, plan);
    // The first layer's logits are the CPU's on both sides.
    EXPECT_TRUE(std::ranges::equal(got.routing[0].expert, want.routing[0].expert));
    EXPECT_TRUE(std::ranges::equal(got.routing[0].weight, want.routing[0].weight));
    EXPECT_TRUE(std::ranges::equal(got.routing[0].counts, want.routing[0].counts));
    EXPECT_NEAR(got.stats.kept_mass, want.stats.kept_mass, 0.02);
    const auto tensor = [](std::span<const float> v) {
      return at::tensor(std::vector<float>(v.begin(), v.end()));
    };
    error += relative_error(tensor(got.logits), tensor(want.logits)) / 12;
  }
  EXPECT_LT(error, 0.03);
  EXPECT_GT(error, 0.0);  // it did run elsewhere: activations are rounded there
}

TEST_F(CudaModel, ExpertsThatBf16CannotHoldAreRefused) {
  RandomCheckpoint(config_, 5).write(path_);
  try {
    SequenceScorer::load(path_, {.device = "cuda"});
    FAIL() << "f32 experts were accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("not exact in bf16"));
  }
}

TEST_F(CudaModel, TrainsExpertsOnTheirOwnRowsToTheWideFormsGradients) {
  torch::manual_seed(9);
  const SimpleExpert host = SimpleExpert::random(config_);
  const at::Device cuda = torch_device("cuda");
  const at::Tensor x = at::randn({70, config_.d_model});
  at::Tensor ids = std::get<1>(at::topk(at::randn({70, config_.experts - 1}), 3, -1)).to(at::kInt);
  ids[3][2] = -1;  // and nobody takes the last expert
  const at::Tensor weights = at::rand({70, 3});
  const at::Tensor grad = at::randn({70, config_.d_model});
  const auto gradients = [&](at::Device device, bool wide, at::ScalarType compute) {
    const auto leaf = [&](const at::Tensor& t) {
      return t.detach().to(device, t.scalar_type(), false, /*copy=*/true).set_requires_grad(true);
    };
    const SimpleExpert e{.gate = leaf(host.gate), .up = leaf(host.up), .down = leaf(host.down)};
    const std::vector<at::Tensor> leaves{leaf(x), e.gate, e.up, e.down, leaf(weights)};
    const at::Tensor picks = ids.to(device);
    const at::Tensor gates =
        at::zeros({70, config_.experts}, leaves[0].options().requires_grad(false))
            .scatter_add(1, picks.clamp_min(0).to(at::kLong), leaves[4] * picks.ge(0));
    const at::Tensor out = wide ? e.forward(leaves[0], gates, compute)
                                : e.forward(leaves[0], picks, leaves[4], compute);
    std::vector<at::Tensor> all = torch::autograd::grad({out}, leaves, {grad.to(device)});
    all.push_back(out.detach());
    return all;
  };
  const auto want = gradients(at::kCPU, true, at::kFloat);
  const auto exact = gradients(cuda, false, at::kFloat);
  const auto rounded = gradients(cuda, false, at::kBFloat16);
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_LT(relative_error(exact[i], want[i]), 1e-5) << "tensor " << i;
    EXPECT_LT(relative_error(rounded[i], want[i]), 2e-2) << "tensor " << i;
  }
  EXPECT_TRUE(rounded[1][config_.experts - 1].eq(0.0).all().item<bool>());
}

}  // namespace
}  // namespace thermoe
