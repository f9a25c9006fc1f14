// SPDX-License-Identifier: Apache-2.0
#include "kernels/int4_weights.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr std::uint32_t kMiddles = 0x8888'8888U;  // eight times q = 8: zero in the symmetric format

struct GroupGrid {
  float scale;
  int zero_point;
};

/// The grid of representable values for one group of weights.
GroupGrid fit_group(const float* w, const Int4Format& format) {
  const auto [low, high] = std::minmax_element(w, w + format.group);
  if (!format.with_zero_point) {
    return {std::max(std::abs(*low), std::abs(*high)) / 7.0F, Int4Weights::kMiddle};
  }
  // Widened to hold 0, so that the zero point is one of the 16 steps and padding stays exact.
  const float bottom = std::min(*low, 0.0F);
  const float scale = (std::max(*high, 0.0F) - bottom) / 15.0F;
  if (scale == 0.0F) return {0.0F, 0};
  return {scale, std::clamp(static_cast<int>(std::lround(-bottom / scale)), 0, 15)};
}

}  // namespace

Int4Weights::Int4Weights(int outputs, int inputs, Int4Format format)
    : outputs_(outputs), inputs_(inputs), format_(format) {
  THERMOE_EXPECT(outputs >= 1 && inputs >= 1, "int4 weights of {} outputs and {} inputs", outputs,
                 inputs);
  THERMOE_EXPECT(format.group == 32 || format.group == 64 || format.group == 128,
                 "int4 group of {}; supported are 32, 64 and 128", format.group);
  THERMOE_EXPECT(inputs % format.group == 0,
                 "{} inputs cannot be cut into int4 groups of {}: choose a group that divides them",
                 inputs, format.group);
  const auto rows = static_cast<std::size_t>(panels()) * kPanel;
  words_.assign(rows * static_cast<std::size_t>(inputs / kPerWord), kMiddles);
  scales_.assign(rows * static_cast<std::size_t>(groups()), 0.0F);
  if (format.with_zero_point) zeros_.assign(scales_.size(), kMiddle);
}

std::size_t Int4Weights::byte_size() const {
  return words_.size() * sizeof(std::uint32_t) + scales_.size() * sizeof(float) + zeros_.size();
}

Int4View Int4Weights::view() const {
  return {.words = words(),
          .scales = scales(),
          .zero_points = zero_points(),
          .outputs = outputs_,
          .inputs = inputs_,
          .group = format_.group};
}

std::size_t Int4Weights::cell(int output, int group) const {
  THERMOE_EXPECT(output >= 0 && output < outputs_ && group >= 0 && group < groups(),
                 "int4 group ({}, {}) is outside [{}, {}]", output, group, outputs_, groups());
  return (static_cast<std::size_t>(output / kPanel) * groups() + group) * kPanel + output % kPanel;
}

std::size_t Int4Weights::word(int output, int input) const {
  THERMOE_EXPECT(output >= 0 && output < outputs_ && input >= 0 && input < inputs_,
                 "int4 weight ({}, {}) is outside [{}, {}]", output, input, outputs_, inputs_);
  const auto words_a_row = static_cast<std::size_t>(inputs_ / kPerWord);
  return (static_cast<std::size_t>(output / kPanel) * words_a_row + input / kPerWord) * kPanel +
         output % kPanel;
}

int Int4Weights::q(int output, int input) const {
  return static_cast<int>(words_[word(output, input)] >> (4 * (input % kPerWord)) & 15U);
}

int Int4Weights::zero_point(int output, int group) const {
  const std::size_t at = cell(output, group);
  return zeros_.empty() ? kMiddle : zeros_[at];
}

void Int4Weights::set_q(int output, int input, int q) {
  THERMOE_EXPECT(q >= 0 && q <= 15, "int4 value {} is outside 0..15", q);
  std::uint32_t& packed = words_[word(output, input)];
  const int shift = 4 * (input % kPerWord);
  packed = (packed & ~(15U << shift)) | static_cast<std::uint32_t>(q) << shift;
}

void Int4Weights::set_group(int output, int group, float scale, int zero_point) {
  const std::size_t at = cell(output, group);
  THERMOE_EXPECT(std::isfinite(scale), "int4 scale {} of output {} is not finite", scale, output);
  THERMOE_EXPECT(zero_point >= 0 && zero_point <= 15, "int4 zero point {} is outside 0..15",
                 zero_point);
  THERMOE_EXPECT(!zeros_.empty() || zero_point == kMiddle,
                 "zero point {} in the symmetric int4 format, which implies 8", zero_point);
  scales_[at] = scale;
  if (!zeros_.empty()) zeros_[at] = static_cast<std::uint8_t>(zero_point);
}

Int4Weights quantise_int4(const float* weights, int outputs, int inputs, Int4Format format) {
  THERMOE_EXPECT(weights != nullptr, "weights is null");
  Int4Weights packed(outputs, inputs, format);
  for (int n = 0; n < outputs; ++n) {
    for (int g = 0; g < packed.groups(); ++g) {
      const float* w = weights + static_cast<std::ptrdiff_t>(n) * inputs + g * format.group;
      for (int k = 0; k < format.group; ++k) {
        THERMOE_EXPECT(std::isfinite(w[k]), "weight ({}, {}) is {}: only finite weights quantise",
                       n, g * format.group + k, w[k]);
      }
      const auto [scale, zero] = fit_group(w, format);
      packed.set_group(n, g, scale, zero);
      for (int k = 0; k < format.group; ++k) {
        const int step = scale > 0.0F ? static_cast<int>(std::lround(w[k] / scale)) : 0;
        packed.set_q(n, g * format.group + k, std::clamp(step + zero, 0, 15));
      }
    }
  }
  return packed;
}

void dequantise_int4(const Int4Weights& packed, float* weights) {
  for (int n = 0; n < packed.outputs(); ++n) {
    for (int k = 0; k < packed.inputs(); ++k) {
      const int g = k / packed.format().group;
      const auto steps = static_cast<float>(packed.q(n, k) - packed.zero_point(n, g));
      weights[static_cast<std::ptrdiff_t>(n) * packed.inputs() + k] = packed.scale(n, g) * steps;
    }
  }
}

}  // namespace thermoe
