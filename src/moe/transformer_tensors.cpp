// SPDX-License-Identifier: Apache-2.0
#include "moe/transformer_tensors.h"

namespace thermoe {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  return wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps) * weight;
}

RotaryAngles rotary_angles(std::int64_t length, std::int64_t head_dim, double base,
                           at::Device device) {
  const auto half = head_dim / 2;
  const auto wide = at::TensorOptions().device(device).dtype(at::kFloat);
  const at::Tensor frequency =
      at::pow(base, at::arange(half, wide) * (-1.0 / static_cast<double>(half)));
  const at::Tensor angle = at::arange(length, wide).unsqueeze(1) * frequency;
  return {.cosine = at::cos(angle), .sine = at::sin(angle)};
}

at::Tensor rotate(const at::Tensor& x, const RotaryAngles& angles) {
  const auto halves = x.chunk(2, -1);
  return at::cat({halves[0] * angles.cosine - halves[1] * angles.sine,
                  halves[1] * angles.cosine + halves[0] * angles.sine},
                 -1);
}

}  // namespace thermoe
