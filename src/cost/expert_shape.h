// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
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

/// Mean number of distinct experts that a layer of the real model of this shape activates for so
/// many tokens, where it is published: Qwen3-30B-A3B's 48.8 for 16 (arXiv 2511.02237).
std::optional<double> published_active_experts(const ExpertShape& shape, int tokens);

}  // namespace thermoe
