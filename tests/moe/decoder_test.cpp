// SPDX-License-Identifier: Apache-2.0
#include "moe/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "moe/adaptive_router.h"
#include "plain_decoder.h"
#include "random_checkpoint.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

class DecoderOfTinyModel : public ::testing::Test {
 protected:
  DecoderOfTinyModel() { RandomCheckpoint(config_, 11).write(path_); }

  std::unique_ptr<Decoder> load(int streams, ExpertType experts = ExpertType::kSimple) const {
    return Decoder::load(path_,
                         {.streams = streams, .context = config_.context, .experts = experts});
  }
  /// Logits of the last of `steps` steps.
  std::vector<float> decode(Decoder& decoder, const RoutingPlan& plan, int steps,
                            unsigned seed) const {
    std::vector<float> last;
    for (int s = 0; s < steps; ++s) {
      const auto step = decoder.step(random_bytes(decoder.options().streams, seed + s), plan);
      last.assign(step.logits.begin(), step.logits.end());
    }
    return last;
  }

  ModelConfig config_ = tiny_config();
  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
  RoutingPlan baseline_ = baseline_plan(config_);
};

TEST_F(DecoderOfTinyModel, BaselineEqualsPlainTopKBitForBit) {
  constexpr int kStreams = 5;
  const auto decoder = load(kStreams);
  PlainDecoder plain(path_, kStreams);
  for (unsigned s = 0; s < 20; ++s) {
    const auto bytes = random_bytes(kStreams, s);
    const auto expected = plain.step(bytes);
    const DecodeStep& step = decoder->step(bytes, baseline_);
    ASSERT_EQ(std::vector<float>(step.logits.begin(), step.logits.end()), expected) << "step " << s;
    EXPECT_EQ(step.stats.kept_mass, 1.0);

    AdaptiveRouter router(router_spec(config_), kStreams);
    for (int l = 0; l < config_.layers; ++l) {
      const auto routing = router.route(step.sample.layer(l), kStreams, baseline_, l, s);
      EXPECT_TRUE(std::ranges::equal(routing.expert, plain.picks[l]));
      EXPECT_TRUE(std::ranges::equal(routing.weight, plain.mixing[l]));
      EXPECT_TRUE(std::ranges::equal(routing.counts, step.stats.layer(l)));
    }
  }
}

TEST_F(DecoderOfTinyModel, AStepSaysWhoWentWhereInEveryLayer) {
  constexpr int kStreams = 6;
  const auto decoder = load(kStreams);
  RoutingPlan plan = baseline_;
  plan.layer(0).extra_k_share = 0.5F;  // one slot more in the first layer
  plan.layer(1).k_min = 1;
  std::ranges::fill(plan.activation_price(1), 2.0F);
  AdaptiveRouter router(router_spec(config_), kStreams);
  for (unsigned s = 0; s < 4; ++s) {
    const DecodeStep& step = decoder->step(random_bytes(kStreams, s), plan);
    ASSERT_EQ(step.routing.size(), static_cast<std::size_t>(config_.layers));
    double kept = 0.0;
    for (int l = 0; l < config_.layers; ++l) {
      const LayerRouting& said = step.routing[l];
      const LayerRouting did = router.route(step.sample.layer(l), kStreams, plan, l, s);
      EXPECT_EQ(said.tokens, kStreams);
      EXPECT_EQ(said.slots, l == 0 ? config_.top_k + 1 : config_.top_k);
      EXPECT_TRUE(std::ranges::equal(said.expert, did.expert)) << "layer " << l;
      EXPECT_TRUE(std::ranges::equal(said.weight, did.weight)) << "layer " << l;
      EXPECT_TRUE(std::ranges::equal(said.counts, step.stats.layer(l))) << "layer " << l;
      EXPECT_TRUE(std::ranges::equal(said.kept_mass, did.kept_mass)) << "layer " << l;
      for (int e = 0; e < config_.experts; ++e) {
        ASSERT_EQ(said.order.first[e + 1] - said.order.first[e], said.counts[e]);
        for (int i = said.order.first[e]; i < said.order.first[e + 1]; ++i) {
          EXPECT_EQ(said.expert[said.order.pair[i]], e);
        }
      }
      for (const float m : said.kept_mass) kept += m / (kStreams * config_.layers);
    }
    EXPECT_LT(kept, 1.0);
    EXPECT_NEAR(kept, step.stats.kept_mass, 1e-6);
  }
}

TEST_F(DecoderOfTinyModel, AStreamDoesNotDependOnItsNeighboursUnderBaseline) {
  const auto three = load(3);
  const auto one = load(1);
  for (unsigned s = 0; s < 20; ++s) {
    const auto bytes = random_bytes(3, s);
    const auto together =
        three->step(bytes, baseline_).logits.subspan(config_.vocab, config_.vocab);
    const auto alone = one->step(std::span(bytes).subspan(1, 1), baseline_).logits;
    ASSERT_TRUE(std::ranges::equal(together, alone)) << "step " << s;
  }
}

TEST_F(DecoderOfTinyModel, AResetStreamStartsAnewAndTheOthersGoOn) {
  const auto decoder = load(2);
  const auto untouched = load(2);
  decode(*decoder, baseline_, 17, 100);
  decode(*untouched, baseline_, 17, 100);
  decoder->reset(0);
  EXPECT_EQ(decoder->position(0), 0);
  EXPECT_EQ(decoder->position(1), 17);

  const auto fresh = load(2);
  for (unsigned s = 0; s < 5; ++s) {
    const auto bytes = random_bytes(2, 500 + s);
    const auto logits = decoder->step(bytes, baseline_).logits;
    const auto anew = fresh->step(bytes, baseline_).logits;
    const auto onward = untouched->step(bytes, baseline_).logits;
    EXPECT_TRUE(std::ranges::equal(logits.first(config_.vocab), anew.first(config_.vocab)));
    EXPECT_TRUE(std::ranges::equal(logits.last(config_.vocab), onward.last(config_.vocab)));
  }
}

TEST_F(DecoderOfTinyModel, AFullContextMustBeReset) {
  const auto decoder = load(2);
  decode(*decoder, baseline_, config_.context, 1);
  try {
    decode(*decoder, baseline_, 1, 2);
    FAIL() << "a step beyond the context was accepted";
  } catch (const PreconditionError& error) {
    EXPECT_THAT(error.what(), HasSubstr("stream 0 holds 48 bytes"));
  }
  decoder->reset(0);
  EXPECT_THROW(decode(*decoder, baseline_, 1, 3), PreconditionError);
  decoder->reset(1);
  decode(*decoder, baseline_, config_.context, 4);
}

TEST_F(DecoderOfTinyModel, PricesCutTheActiveExpertsAndTheStatsSaySo) {
  const auto decoder = load(6);
  RoutingPlan priced = baseline_;
  for (int l = 0; l < config_.layers; ++l) {
    priced.layer(l).k_min = 1;
    std::ranges::fill(priced.activation_price(l), 10.0F);
  }
  const auto bytes = random_bytes(6, 3);
  const double plain_active = decoder->step(bytes, baseline_).stats.mean_active();
  for (int b = 0; b < 6; ++b) decoder->reset(b);
  const RoutingStats& stats = decoder->step(bytes, priced).stats;
  EXPECT_LT(stats.mean_active(), plain_active);
  EXPECT_LT(stats.kept_mass, 1.0);
  EXPECT_GT(stats.kept_mass, 0.3);
}

TEST_F(DecoderOfTinyModel, MixedExpertsFollowThePlansVariants) {
  const auto simple = load(3);
  const auto quantized = load(3, ExpertType::kQuantized);
  const auto all_f32 = load(3, ExpertType::kMixed);
  const auto all_int4 = load(3, ExpertType::kMixed);
  const auto split = load(3, ExpertType::kMixed);
  RoutingPlan ones = baseline_;
  for (int l = 0; l < config_.layers; ++l) std::ranges::fill(ones.variant(l), 1);

  const auto f32 = decode(*simple, baseline_, 6, 9);
  const auto int4 = decode(*quantized, baseline_, 6, 9);
  EXPECT_EQ(decode(*all_f32, baseline_, 6, 9), f32);
  EXPECT_EQ(decode(*all_int4, ones, 6, 9), int4);
  const auto mixed = decode(*split, baseline_plan(config_, ExpertType::kMixed), 6, 9);
  EXPECT_NE(mixed, f32);
  EXPECT_NE(mixed, int4);
}

TEST_F(DecoderOfTinyModel, QuantizedExpertsStayNear) {
  const auto simple = load(4);
  const auto quantized = load(4, ExpertType::kQuantized);
  const auto bytes = random_bytes(4, 21);
  const auto exact = simple->step(bytes, baseline_).logits;
  const auto rounded = quantized->step(bytes, baseline_).logits;
  double error = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(double{exact[i]} - rounded[i], 2);
    size += std::pow(double{exact[i]}, 2);
  }
  EXPECT_GT(error, 0.0);
  EXPECT_LT(std::sqrt(error / size), 0.15);
}

TEST_F(DecoderOfTinyModel, GroupsThatDoNotDivideTheModelAreRefused) {
  config_.d_ff = 24;
  RandomCheckpoint(config_, 1).write(path_);
  EXPECT_NO_THROW(load(1));
  try {
    load(1, ExpertType::kQuantized);
    FAIL() << "d_ff=24 in groups of 32 was accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("d_ff=24"));
  }
}

TEST_F(DecoderOfTinyModel, RefusesCallsThatDoNotFit) {
  const auto decoder = load(2);
  EXPECT_THROW(decoder->step(random_bytes(3, 1), baseline_), PreconditionError);
  EXPECT_THROW(decoder->step(random_bytes(2, 1), RoutingPlan(1, 8, 2)), PreconditionError);
  EXPECT_THROW(decoder->reset(2), PreconditionError);
  EXPECT_THROW(Decoder::load(path_, {.streams = 2, .context = 49}), PreconditionError);
  EXPECT_THROW(Decoder::load(path_, {.streams = 0, .context = 8}), PreconditionError);
}

TEST(ExpertTypeNames, RoundTrip) {
  for (const ExpertType type : {ExpertType::kSimple, ExpertType::kQuantized, ExpertType::kMixed}) {
    EXPECT_EQ(expert_type_from(to_string(type)), type);
  }
  EXPECT_FALSE(expert_type_from("float"));
}

}  // namespace
}  // namespace thermoe
