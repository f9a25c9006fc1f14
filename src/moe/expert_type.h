// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "core/routing_plan.h"
#include "moe/model_config.h"

namespace thermoe {

/// Precision of the experts. Mixed loads both and takes RoutingPlan::variant (0 = f32, 1 = int4) an
/// expert at each step; otherwise the plan's variants are ignored.
enum class ExpertType { kSimple, kQuantized, kMixed };
/// simple, quantized, mixed.
std::string_view to_string(ExpertType type);
std::optional<ExpertType> expert_type_from(std::string_view name);

/// Sets the variants of mixed precision: experts with odd ids in int4 (1), even ids in f32 (0). A
/// fixed split, so that both kinds get load in every layer.
void mixed_variants(RoutingPlan& plan);

/// The baseline router of a model as a plan: zeros and the model's k; for mixed experts the
/// variants are `mixed_variants`.
RoutingPlan baseline_plan(const ModelConfig& config, ExpertType experts = ExpertType::kSimple);

}  // namespace thermoe
