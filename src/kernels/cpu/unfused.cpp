// SPDX-License-Identifier: Apache-2.0
#include "kernels/unfused.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/backends.h"

namespace thermoe::cpu {
namespace {

float silu(float x) { return x / (1.0F + std::exp(-x)); }

/// The tanh form.
float gelu(float x) { return x / (1.0F + std::exp(-1.5957691216F * (x + 0.044715F * x * x * x))); }

}  // namespace

void expert_activation(const ExpertActivationArgs& args) {
  const auto* gate = static_cast<const float*>(args.gate);
  const auto* up = static_cast<const float*>(args.up);
  auto* out = static_cast<float*>(args.out);
  const std::ptrdiff_t cells = std::ptrdiff_t{args.tokens} * args.width;
  const auto fill = [&](auto value) {
    for (std::ptrdiff_t i = 0; i < cells; ++i) out[i] = value(i);
  };
  switch (args.kind) {
    case ExpertKind::kSwiGlu:
      return fill([&](std::ptrdiff_t i) { return silu(gate[i]) * up[i]; });
    case ExpertKind::kRelu:
      return fill([&](std::ptrdiff_t i) { return std::max(up[i], 0.0F); });
    case ExpertKind::kGelu:
      return fill([&](std::ptrdiff_t i) { return gelu(up[i]); });
  }
}

void dequant_unpack(const DequantUnpackArgs& args) {
  const Int4View& w = args.weights;
  auto* out = static_cast<float*>(args.out);
  const int words = w.inputs / Int4View::kPerWord;
  for (int output = 0; output < w.outputs; ++output) {
    const int panel = output / Int4View::kPanel, lane = output % Int4View::kPanel;
    float* row = out + std::ptrdiff_t{output} * w.inputs;
    for (int word = 0; word < words; ++word) {
      const int group = word * Int4View::kPerWord / w.group;
      const std::ptrdiff_t cell =
          (std::ptrdiff_t{panel} * w.groups() + group) * Int4View::kPanel + lane;
      const auto zero = static_cast<float>(w.zero_points ? w.zero_points[cell] : 8);
      const float scale = w.scales[cell];
      std::uint32_t bits =
          w.words[(std::ptrdiff_t{panel} * words + word) * Int4View::kPanel + lane];
      for (int i = 0; i < Int4View::kPerWord; ++i, bits >>= 4) {
        *row++ = scale * (static_cast<float>(bits & 15U) - zero);
      }
    }
  }
}

}  // namespace thermoe::cpu
