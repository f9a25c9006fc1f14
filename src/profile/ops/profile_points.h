// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "profile/op_point.h"
#include "profile/ops/profiled_model.h"

namespace thermoe {

/// An op that is executed alone: a row of the table that `point` names.
struct ProfilePoint {
  std::string part{};  ///< of the model: "fc1", "gate_up", "activation", "fc2", "dequant_unpack",
                       ///< "topk_route", "expert_layer", "attention"
  OpPoint point{};
  bool operator==(const ProfilePoint&) const = default;
};

/// Which points of a model.
struct PointGrid {
  std::vector<int> tokens{1, 2, 4, 8, 16, 32, 64, 128, 256};
  /// Distinct active experts; counts that a batch cannot reach are passed over, and the most that
  /// it can reach is there anyway.
  std::vector<int> active{1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128};
  std::vector<std::string> dtypes{};  ///< of weights: f32, bf16 (SimpleExpert), int4 (Quantized)
  /// Parts, or ops of the cost model ("fused_dequant_linear"); empty: all.
  std::vector<std::string> ops{};
  int context = 1024;  ///< positions of attention
};

/// The model's points in an order in which neighbours share their weights, none twice.
std::vector<ProfilePoint> profile_points(const ProfiledModel& model, const PointGrid& grid);
/// All words that PointGrid::ops may have.
const std::vector<std::string>& profiled_ops();

/// The int4 group of a matrix or layer with these inputs: the largest that divides all of them.
int int4_group(const std::vector<int>& inputs);

/// Why no point of this kind runs on this backend; nothing where it does.
std::optional<std::string> op_problem(Backend backend, const OpPoint& point);

}  // namespace thermoe
