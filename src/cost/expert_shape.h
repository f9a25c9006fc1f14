// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace thermoe {

/// The expert MLPs of a model whose costs are charged (`costed_as`). Defaults are Qwen3-30B-A3B.
struct ExpertShape {
  std::string name = "Qwen3-30B-A3B";
  int experts = 128;
  int top_k = 8;
  int d_model = 2048;
  int d_ff = 768;
  bool gated = true;  ///< SwiGLU (three matrices an expert) rather than fc1, activation, fc2
  int layers = 48;

  bool operator==(const ExpertShape&) const = default;
};

/// A shape by the name of its model. Throws UsageError for an unknown name, with the nearest known.
ExpertShape expert_shape(std::string_view name);

}  // namespace thermoe
