// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "cost/expert_shape.h"

namespace thermoe {

/// A model whose ops are profiled at its own sizes.
struct ProfiledModel {
  ExpertShape experts{};  ///< of its MoE layers; shared experts are none of them
  int heads = 0;          ///< of queries
  int head_dim = 0;
};

/// The models that are known by name, as their published configurations have them.
const std::vector<ProfiledModel>& profiled_models();
/// Throws UsageError naming the known ones, and the nearest.
const ProfiledModel& profiled_model(std::string_view name);

/// Axes along which one size of Qwen3-30B-A3B's expert layer changes and all else stays.
enum class SweepAxis { kModelWidth, kExpertWidth };
/// Its experts at so many sizes, named after the size that differs.
std::vector<ProfiledModel> sweep_models(SweepAxis axis);

}  // namespace thermoe
