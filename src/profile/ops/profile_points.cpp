// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/profile_points.h"

#include <algorithm>
#include <set>

#include "core/errors.h"

namespace thermoe {
namespace {

class Points {
 public:
  Points(const ProfiledModel& model, const PointGrid& grid) : model_(model), grid_(grid) {}

  std::vector<ProfilePoint> take() && { return std::move(points_); }

  void add_routing() {
    const ExpertShape& e = model_.experts;
    add_rows("topk_route", {.op = "topk_route", .shape = {e.experts, e.top_k}, .dtype = "f32"});
  }

  void add_experts(const std::string& dtype) {
    const ExpertShape& e = model_.experts;
    const OpKey key{.op = e.gated ? "moe_experts" : "moe_experts_plain",
                    .shape = {e.experts, e.top_k, e.d_model, e.d_ff},
                    .dtype = dtype,
                    .group_size = group(dtype, {e.d_model, e.d_ff})};
    for (const int tokens : grid_.tokens) {
      for (const int active : reachable(tokens)) {
        add("expert_layer",
            {.key = key, .tokens = double(tokens), .active_experts = double(active)});
      }
    }
  }

  /// A matrix [out, in] alone, and where it is int4 what unpacking it takes.
  void add_matrix(const char* part, const std::string& dtype, int out, int in) {
    OpKey key{.op = dtype == "int4" ? "fused_dequant_linear" : "linear",
              .shape = {out, in},
              .dtype = dtype,
              .group_size = group(dtype, {in})};
    add_rows(part, key);
    if (dtype != "int4") return;
    key.op = "dequant_unpack";
    add("dequant_unpack", {.key = key});
  }

  void add_activation(const std::string& dtype) {
    add_rows("activation", {.op = model_.experts.gated ? "activation_silu_mul" : "activation_relu",
                            .shape = {model_.experts.d_ff},
                            .dtype = dtype});
  }

  void add_attention() {
    add_rows("attention", {.op = "decode_attention",
                           .shape = {model_.heads, model_.head_dim, grid_.context},
                           .dtype = "f32"});
  }

 private:
  static std::optional<int> group(const std::string& dtype, const std::vector<int>& inputs) {
    return dtype == "int4" ? std::optional(int4_group(inputs)) : std::nullopt;
  }

  std::set<int> reachable(int tokens) const {
    const ExpertShape& e = model_.experts;
    const int most = std::min(e.experts, tokens * e.top_k);
    std::set<int> counts{most};
    for (const int active : grid_.active) {
      if (active <= most) counts.insert(active);
    }
    return counts;
  }

  void add_rows(const char* part, const OpKey& key) {
    for (const int tokens : grid_.tokens) add(part, {.key = key, .tokens = double(tokens)});
  }

  void add(const char* part, OpPoint point) {
    const auto wanted = [&](const std::string& op) { return op == part || op == point.key.op; };
    if (!grid_.ops.empty() && std::ranges::none_of(grid_.ops, wanted)) return;
    // A square expert's fc1 is its fc2.
    if (std::ranges::find(points_, point, &ProfilePoint::point) != points_.end()) return;
    points_.push_back({part, std::move(point)});
  }

  const ProfiledModel& model_;
  const PointGrid& grid_;
  std::vector<ProfilePoint> points_{};
};

}  // namespace

const std::vector<std::string>& profiled_ops() {
  static const std::vector<std::string> ops = {
      "fc1",        "gate_up",      "activation", "fc2",    "dequant_unpack",
      "topk_route", "expert_layer", "attention",  "linear", "fused_dequant_linear"};
  return ops;
}

int int4_group(const std::vector<int>& inputs) {
  for (const int group : {128, 64, 32}) {
    if (std::ranges::all_of(inputs, [&](int in) { return in % group == 0; })) return group;
  }
  throw UsageError(fmt::format("{} inputs cannot be int4: no group of 32, 64 or 128 divides them",
                               inputs.empty() ? 0 : inputs.front()));
}

std::vector<ProfilePoint> profile_points(const ProfiledModel& model, const PointGrid& grid) {
  const ExpertShape& e = model.experts;
  Points points(model, grid);
  for (const std::string& dtype : grid.dtypes) points.add_experts(dtype);
  points.add_routing();
  for (const std::string& dtype : grid.dtypes) {
    points.add_matrix("fc1", dtype, e.d_ff, e.d_model);
    points.add_matrix("gate_up", dtype, 2 * e.d_ff, e.d_model);
    points.add_matrix("fc2", dtype, e.d_model, e.d_ff);
    if (dtype != "int4")
      points.add_activation(dtype);  // an int4 expert's activations are f32, bf16
  }
  points.add_attention();
  return std::move(points).take();
}

std::optional<std::string> op_problem(Backend backend, const OpPoint& point) {
  const std::string& op = point.key.op;
  const std::string& dtype = point.key.dtype;
  if (backend == Backend::kCpu) {
    if (dtype == "bf16" && !op.starts_with("moe_experts")) {
      return "the cpu backend has bf16 weights in expert layers only";
    }
    return std::nullopt;
  }
  if (op == "linear") return "the cuda backend has no dense matrices outside of expert layers";
  if (op == "decode_attention") return "the cuda backend has no attention";
  if (dtype == "f32" && op != "topk_route") return "the cuda backend has no f32 weights";
  return std::nullopt;
}

}  // namespace thermoe
