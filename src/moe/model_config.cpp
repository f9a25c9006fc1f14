// SPDX-License-Identifier: Apache-2.0
#include "moe/model_config.h"

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {

RouterSpec router_spec(const ModelConfig& c, std::optional<WeightDenominator> denominator) {
  return {.experts = c.experts,
          .k = c.top_k,
          .denominator = denominator.value_or(c.weight_denominator)};
}

nlohmann::json to_json(const ModelConfig& c) {
  nlohmann::json json = {{"vocab", c.vocab},         {"layers", c.layers},
                         {"d_model", c.d_model},     {"heads", c.heads},
                         {"experts", c.experts},     {"top_k", c.top_k},
                         {"d_ff", c.d_ff},           {"context", c.context},
                         {"rope_base", c.rope_base}, {"norm_eps", c.norm_eps}};
  if (c.weight_denominator != ModelConfig{}.weight_denominator) {
    json["weight_denominator"] = to_string(c.weight_denominator);
  }
  return json;
}

ModelConfig model_config_from(const nlohmann::json& json, const std::string& path,
                              const std::string& key) {
  JsonObject o(json, path, key);
  const auto integer = [&o](const char* name, int low, int high) {
    return static_cast<int>(o.integer(name, low, high));
  };
  ModelConfig c{.vocab = integer("vocab", 2, 1 << 20),
                .layers = integer("layers", 1, 256),
                .d_model = integer("d_model", 2, 1 << 16),
                .heads = integer("heads", 1, 1024),
                .experts = integer("experts", 1, 1024),
                .top_k = integer("top_k", 1, 1024),
                .d_ff = integer("d_ff", 1, 1 << 16),
                .context = integer("context", 1, 1 << 20),
                .rope_base = o.number("rope_base", 1.0, 1e9),
                .norm_eps = o.number("norm_eps", 0.0, 1.0),
                .weight_denominator = *weight_denominator_from(o.choice_or(
                    "weight_denominator", std::string(to_string(ModelConfig{}.weight_denominator)),
                    weight_denominator_names()))};
  o.finish();
  if (c.d_model % (2 * c.heads) != 0) {
    throw FormatError(path, key + "/d_model",
                      fmt::format("is {}, must be a multiple of 2 x heads={}", c.d_model, c.heads));
  }
  if (c.top_k > c.experts) {
    throw FormatError(path, key + "/top_k",
                      fmt::format("is {}, must not exceed experts={}", c.top_k, c.experts));
  }
  return c;
}

}  // namespace thermoe
