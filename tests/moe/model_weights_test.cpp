// SPDX-License-Identifier: Apache-2.0
#include "moe/model_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/errors.h"
#include "core/half_float.h"
#include "random_checkpoint.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelWeightsFile : public ::testing::Test {
 protected:
  std::string refusal() const {
    try {
      load_model_weights(path_);
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      return error.what();
    }
    ADD_FAILURE() << "the checkpoint was accepted";
    return "";
  }

  TemporaryFolder folder_{};
  std::string path_ = folder_.file("model.safetensors");
  RandomCheckpoint checkpoint_{tiny_config(), 1};
};

TEST_F(ModelWeightsFile, ReadsEveryTensor) {
  checkpoint_.write(path_);
  const ModelWeights weights = load_model_weights(path_);
  EXPECT_EQ(weights.config, tiny_config());
  ASSERT_EQ(weights.layers.size(), 2U);
  EXPECT_EQ(weights.layers[1].down, checkpoint_.at("layers.1.moe.down").values);
  EXPECT_EQ(weights.layers[0].qkv, checkpoint_.at("layers.0.attn.qkv.weight").values);
  EXPECT_EQ(weights.head, checkpoint_.at("head.weight").values);
}

TEST_F(ModelWeightsFile, SaysItsWeightDenominatorOnlyWhereItIsNotTheUsualOne) {
  EXPECT_FALSE(to_json(tiny_config()).contains("weight_denominator"));
  checkpoint_.config.weight_denominator = WeightDenominator::kPicked;
  checkpoint_.write(path_);
  const ModelConfig config = load_model_weights(path_).config;
  EXPECT_EQ(config, checkpoint_.config);
  EXPECT_EQ(router_spec(config).denominator, WeightDenominator::kPicked);
  EXPECT_EQ(router_spec(config, WeightDenominator::kNone).denominator, WeightDenominator::kNone);
}

TEST_F(ModelWeightsFile, AnUnknownWeightDenominatorIsRefusedByName) {
  nlohmann::json json = to_json(tiny_config());
  json["weight_denominator"] = "refernce";
  write_safetensors(path_, {}, {{"thermoe_config", json.dump()}});
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("thermoe_config/weight_denominator"), HasSubstr("\"reference\"")));
}

TEST_F(ModelWeightsFile, ReadsBf16) {
  std::vector<std::vector<std::uint16_t>> halves;
  std::vector<TensorView> views;
  for (const auto& p : checkpoint_.parameters) {
    auto& half = halves.emplace_back();
    for (const float v : p.values) {
      half.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16));
    }
  }
  for (std::size_t i = 0; i < halves.size(); ++i) {
    views.push_back({.name = checkpoint_.parameters[i].name,
                     .dtype = "BF16",
                     .shape = checkpoint_.parameters[i].shape,
                     .data = std::as_bytes(std::span(halves[i]))});
  }
  write_safetensors(path_, views, {{"thermoe_config", to_json(tiny_config()).dump()}});
  const ModelWeights weights = load_model_weights(path_);
  EXPECT_EQ(weights.embed[3], bf16_to_float(halves[0][3]));
}

TEST_F(ModelWeightsFile, ATensorOfAnotherShapeIsRefusedByName) {
  checkpoint_.at("layers.1.moe.gate").shape = {8, 16, 64};
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("layers.1.moe.gate: "), HasSubstr("[8, 16, 64]"),
                               HasSubstr("expected [8, 32, 32]")));
}

TEST_F(ModelWeightsFile, AMissingTensorIsRefusedByName) {
  std::erase_if(checkpoint_.parameters, [](const auto& p) { return p.name == "layers.0.moe.up"; });
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), HasSubstr("layers.0.moe.up: the file has no such tensor"));
}

TEST_F(ModelWeightsFile, ATensorThatTheModelDoesNotHaveIsRefusedByName) {
  checkpoint_.config.layers = 1;
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("layers.1."), HasSubstr("is no tensor of the model")));
}

TEST_F(ModelWeightsFile, ANanWeightIsRefusedByName) {
  checkpoint_.at("layers.0.attn.out.weight").values[7] = std::numeric_limits<float>::quiet_NaN();
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), HasSubstr("layers.0.attn.out.weight: element 7"));
}

TEST_F(ModelWeightsFile, AConfigurationThatIsMissingOrNonsenseIsRefused) {
  write_safetensors(path_, {}, {});
  EXPECT_THAT(refusal(), HasSubstr("__metadata__/thermoe_config"));
  write_safetensors(path_, {}, {{"thermoe_config", "{"}});
  EXPECT_THAT(refusal(), HasSubstr("__metadata__/thermoe_config"));
  write_safetensors(path_, {}, {{"thermoe_config", std::string(200'000, '[')}});
  EXPECT_THAT(refusal(), HasSubstr("__metadata__/thermoe_config"));
  checkpoint_.config.layers = -1;
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), HasSubstr("__metadata__/thermoe_config/layers"));
}

TEST_F(ModelWeightsFile, AHugeConfigurationIsRefusedWithoutHugeMemory) {
  checkpoint_.config.d_model = 1 << 16;
  checkpoint_.config.experts = 1024;
  checkpoint_.config.d_ff = 1 << 16;
  checkpoint_.write(path_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("embed.weight"), HasSubstr("[256, 65536]")));
}

}  // namespace
}  // namespace thermoe
