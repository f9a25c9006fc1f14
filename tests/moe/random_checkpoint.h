// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "moe/model_config.h"
#include "moe/safetensors.h"

namespace thermoe {

inline ModelConfig tiny_config() {
  return {
      .layers = 2, .d_model = 32, .heads = 2, .experts = 8, .top_k = 2, .d_ff = 32, .context = 48};
}

/// Named parameters of a model, to be written as they are or after a test has damaged them.
struct RandomCheckpoint {
  struct Parameter {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };

  /// Weights of a size that keeps activations near 1, norms near 1; the router's are wide, so that
  /// near ties, which rounding may decide either way, are rare.
  RandomCheckpoint(const ModelConfig& model_config, unsigned seed)
      : config(model_config), random(seed) {
    const std::int64_t d = config.d_model;
    const std::int64_t e = config.experts;
    const std::int64_t f = config.d_ff;
    const double narrow = 1.0 / std::sqrt(static_cast<double>(d));
    add("embed.weight", {config.vocab, d}, 1.0);
    add("final_norm.weight", {d}, 0.1, 1.0);
    add("head.weight", {config.vocab, d}, narrow);
    for (int l = 0; l < config.layers; ++l) {
      const std::string prefix = "layers." + std::to_string(l) + ".";
      add(prefix + "attn_norm.weight", {d}, 0.1, 1.0);
      add(prefix + "attn.qkv.weight", {3 * d, d}, narrow);
      add(prefix + "attn.out.weight", {d, d}, narrow);
      add(prefix + "moe_norm.weight", {d}, 0.1, 1.0);
      add(prefix + "moe.router.weight", {e, d}, 2.0 * narrow);
      add(prefix + "moe.gate", {e, f, d}, narrow);
      add(prefix + "moe.up", {e, f, d}, narrow);
      add(prefix + "moe.down", {e, d, f}, 1.0 / std::sqrt(static_cast<double>(f)));
    }
  }

  Parameter& at(const std::string& name) {
    for (Parameter& p : parameters) {
      if (p.name == name) return p;
    }
    throw std::out_of_range(name);
  }

  void write(const std::string& path) const {
    std::vector<TensorView> views;
    for (const Parameter& p : parameters) {
      views.push_back({.name = p.name,
                       .dtype = "F32",
                       .shape = p.shape,
                       .data = std::as_bytes(std::span(p.values))});
    }
    write_safetensors(path, views, {{"thermoe_config", to_json(config).dump()}});
  }

  ModelConfig config;
  std::vector<Parameter> parameters{};

 private:
  void add(std::string name, std::vector<std::int64_t> shape, double deviation, double mean = 0.0) {
    std::int64_t n = 1;
    for (const std::int64_t extent : shape) n *= extent;
    std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(deviation));
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& v : values) v = normal(random);
    parameters.push_back({std::move(name), std::move(shape), std::move(values)});
  }

  std::mt19937 random;
};

/// Seeded text: `n` bytes of the whole range.
inline std::vector<std::uint8_t> random_bytes(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> bytes(n);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random() % 256);
  return bytes;
}

}  // namespace thermoe
