// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/router_spec.h"

namespace thermoe {

/// Shape of the byte-level MoE language model. Stored as JSON in a checkpoint's metadata.
struct ModelConfig {
  int vocab = 256;
  int layers = 4;
  int d_model = 192;
  int heads = 6;
  int experts = 128;
  int top_k = 8;
  int d_ff = 32;       ///< hidden width of one expert
  int context = 1024;  ///< longest sequence seen in training
  double rope_base = 10000.0;
  double norm_eps = 1e-5;
  /// `picked` and `reference` are one where nothing is dropped, as in training. Under a plan that
  /// drops, `reference` loses less (docs/model.md): files that do not say have it.
  WeightDenominator weight_denominator = WeightDenominator::kReference;

  int head_dim() const { return d_model / heads; }
  bool operator==(const ModelConfig&) const = default;
};

/// The router of such a model, with another denominator where one is given.
RouterSpec router_spec(const ModelConfig& config,
                       std::optional<WeightDenominator> denominator = {});

nlohmann::json to_json(const ModelConfig& config);
/// Reads and checks a configuration; `path` and `key` are for messages. Throws FormatError.
ModelConfig model_config_from(const nlohmann::json& json, const std::string& path,
                              const std::string& key = "");

}  // namespace thermoe
