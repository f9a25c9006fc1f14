// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace thermoe {

/// How many distinct experts a layer of a real model activates for a batch, as somebody measured.
struct PublishedActive {
  int tokens = 0;
  double active_experts = 0.0;
  std::string source{};  ///< "arXiv 2511.02237"
  bool operator==(const PublishedActive&) const = default;
};

/// The expert MLPs of a model whose costs are charged (`costed_as`).
struct ExpertShape {
  std::string name{};
  int experts = 0;
  int top_k = 0;
  int d_model = 0;
  int d_ff = 0;
  bool gated = true;  ///< SwiGLU (three matrices an expert) rather than fc1, activation, fc2
  int layers = 1;
  std::vector<PublishedActive> published{};

  bool operator==(const ExpertShape&) const = default;
};

}  // namespace thermoe
