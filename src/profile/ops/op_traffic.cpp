// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/op_traffic.h"

#include <algorithm>
#include <string_view>

#include "core/errors.h"

namespace thermoe {
namespace {

double bytes_of(std::string_view dtype) { return dtype == "f32" ? 4.0 : 2.0; }

/// Of a weight, with its share of its group's f32 scale.
double weight_size(const OpKey& key) {
  return key.group_size ? 0.5 + 4.0 / *key.group_size : bytes_of(key.dtype);
}

double size(const OpPoint& point, std::size_t place) {
  return static_cast<double>(point.key.shape.at(place));
}

OpTraffic experts_traffic(const OpPoint& point) {
  const double experts = size(point, 0), top_k = size(point, 1);
  const double matrices = point.key.op == "moe_experts" ? 3.0 : 2.0;
  const double cells = matrices * size(point, 2) * size(point, 3);
  const double active = point.active_experts.value_or(experts);
  const double weights = cells * weight_size(point.key);
  return {
      .bytes = active * weights + 2.0 * point.tokens * size(point, 2) * bytes_of(point.key.dtype),
      .flops = 2.0 * point.tokens * std::min(top_k, active) * cells,
      .weight_bytes = experts * weights};
}

OpTraffic matrix_traffic(const OpPoint& point) {
  const double cells = size(point, 0) * size(point, 1);
  const double weights = cells * weight_size(point.key);
  if (point.key.op == "dequant_unpack") {
    return {.bytes = weights + 2.0 * cells, .flops = cells, .weight_bytes = weights};
  }
  return {.bytes = weights +
                   point.tokens * (size(point, 0) + size(point, 1)) * bytes_of(point.key.dtype),
          .flops = 2.0 * point.tokens * cells,
          .weight_bytes = weights};
}

}  // namespace

std::optional<std::size_t> sizes_of(std::string_view op) {
  if (op.starts_with("moe_experts")) return 4;
  if (op == "decode_attention") return 3;
  if (op == "linear" || op == "fused_dequant_linear" || op == "dequant_unpack" ||
      op == "topk_route") {
    return 2;
  }
  if (op.starts_with("activation_")) return 1;
  return std::nullopt;
}

OpTraffic traffic_of(const OpPoint& point) {
  const std::string_view op = point.key.op;
  const double element = bytes_of(point.key.dtype);
  if (op.starts_with("moe_experts")) return experts_traffic(point);
  if (op == "linear" || op == "fused_dequant_linear" || op == "dequant_unpack") {
    return matrix_traffic(point);
  }
  if (op == "topk_route") {
    const double cells = point.tokens * size(point, 0);
    return {.bytes = cells * element + 8.0 * point.tokens * size(point, 1), .flops = cells};
  }
  if (op == "decode_attention") {  // keys and values, f32
    const double cells = point.tokens * size(point, 0) * size(point, 1) * size(point, 2);
    return {.bytes = 2.0 * cells * element, .flops = 4.0 * cells};
  }
  THERMOE_EXPECT(sizes_of(op) == 1, "{} is no op that is profiled", op);
  const double cells = point.tokens * size(point, 0);
  return {.bytes = (op == "activation_silu_mul" ? 3.0 : 2.0) * cells * element, .flops = cells};
}

}  // namespace thermoe
