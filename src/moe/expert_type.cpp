// SPDX-License-Identifier: Apache-2.0
#include "moe/expert_type.h"

namespace thermoe {

std::string_view to_string(ExpertType type) {
  switch (type) {
    case ExpertType::kSimple:
      return "simple";
    case ExpertType::kQuantized:
      return "quantized";
    case ExpertType::kMixed:
      return "mixed";
  }
  return "unknown";
}

std::optional<ExpertType> expert_type_from(std::string_view name) {
  for (const ExpertType type : {ExpertType::kSimple, ExpertType::kQuantized, ExpertType::kMixed}) {
    if (to_string(type) == name) return type;
  }
  return std::nullopt;
}

void mixed_variants(RoutingPlan& plan) {
  for (int l = 0; l < plan.layers(); ++l) {
    const std::span<std::uint8_t> variant = plan.variant(l);
    for (std::size_t e = 0; e < variant.size(); ++e) variant[e] = e % 2;
  }
}

RoutingPlan baseline_plan(const ModelConfig& config, ExpertType experts) {
  RoutingPlan plan(config.layers, config.experts, config.top_k);
  if (experts == ExpertType::kMixed) mixed_variants(plan);
  return plan;
}

}  // namespace thermoe
