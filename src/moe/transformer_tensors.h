// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace thermoe {

// The parts of a transformer block on tensors that training and scoring share. Decoding has its own
// on plain memory (moe/rms_norm.h, moe/rotary_table.h), without LibTorch.

/// x / rms(x) * weight over the last dimension, in f32.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// Cosines and sines of the rotary positions 0..length-1, [length, head_dim / 2] each.
struct RotaryAngles {
  at::Tensor cosine;
  at::Tensor sine;
};
RotaryAngles rotary_angles(std::int64_t length, std::int64_t head_dim, double base,
                           at::Device device);

/// Turns pairs (x_i, x_{i + hd/2}) by their position's angle. x [batch, heads, length, hd].
at::Tensor rotate(const at::Tensor& x, const RotaryAngles& angles);

}  // namespace thermoe
