// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/aligned_vector.h"

namespace thermoe {

/// How a matrix is quantised: `group` consecutive inputs of an output share a scale (and zero
/// point).
struct Int4Format {
  int group = 128;               ///< 32, 64 or 128; divides the inputs
  bool with_zero_point = false;  ///< false: q - 8, symmetric
};

/// A matrix of int4 weights where it lies: W [outputs, inputs] in the layout of
/// docs/adr/0004-int4-layout.md, in host or device memory.
struct Int4View {
  static constexpr int kPanel = 16;   ///< outputs in a panel
  static constexpr int kPerWord = 8;  ///< inputs in a word

  const std::uint32_t* words = nullptr;       ///< [panels, inputs / 8, 16]
  const float* scales = nullptr;              ///< [panels, groups, 16]
  const std::uint8_t* zero_points = nullptr;  ///< [panels, groups, 16]; null: symmetric, all 8
  int outputs = 0;
  int inputs = 0;
  int group = 128;  ///< inputs that share a scale: 32, 64 or 128; divides `inputs`

  int panels() const { return (outputs + kPanel - 1) / kPanel; }
  int groups() const { return inputs / group; }
};

/// A weight matrix W [outputs, inputs] (the layout of torch's Linear) in int4, packed as
/// docs/adr/0004-int4-layout.md says: panels of 16 outputs; in a panel one 32-bit word an output
/// and 8 consecutive inputs, lowest nibble first. W[n][k] = scale * (q - zero).
class Int4Weights {
 public:
  static constexpr int kPanel = Int4View::kPanel;
  static constexpr int kPerWord = Int4View::kPerWord;
  static constexpr int kMiddle = 8;  ///< zero point of the symmetric format

  Int4Weights() = default;
  /// Zeros of the given shape. Requires positive sizes, a group of 32, 64 or 128 that divides
  /// inputs.
  Int4Weights(int outputs, int inputs, Int4Format format);

  int outputs() const { return outputs_; }
  int inputs() const { return inputs_; }
  const Int4Format& format() const { return format_; }
  int panels() const { return (outputs_ + kPanel - 1) / kPanel; }
  int groups() const { return inputs_ / format_.group; }
  std::size_t byte_size() const;

  /// For kernels: valid while these weights live and are not assigned to.
  Int4View view() const;

  /// Quantised value in 0..15.
  int q(int output, int input) const;
  float scale(int output, int group) const { return scales_[cell(output, group)]; }
  /// Zero point in 0..15 (8 where the format is symmetric).
  int zero_point(int output, int group) const;

  /// For importers and the quantiser. Requires q and zero_point in 0..15, a finite scale.
  void set_q(int output, int input, int q);
  void set_group(int output, int group, float scale, int zero_point = kMiddle);

  /// Packed words [panels, inputs / 8, 16].
  const std::uint32_t* words() const { return words_.data(); }
  /// Scales [panels, groups, 16], f32.
  const float* scales() const { return scales_.data(); }
  /// Zero points [panels, groups, 16]; null where the format is symmetric.
  const std::uint8_t* zero_points() const { return zeros_.empty() ? nullptr : zeros_.data(); }

 private:
  std::size_t cell(int output, int group) const;
  std::size_t word(int output, int input) const;

  int outputs_ = 0;
  int inputs_ = 0;
  Int4Format format_{};
  AlignedVector<std::uint32_t> words_;
  AlignedVector<float> scales_;
  AlignedVector<std::uint8_t> zeros_;
};

/// Rounds `weights` [outputs, inputs] f32 row-major to int4. Symmetric: scale = max|w| / 7, q - 8
/// in -7..7, error at most scale / 2. With zero point: the group's range, widened to hold 0, over
/// 15 steps; error at most scale. Refuses non-finite weights.
Int4Weights quantise_int4(const float* weights, int outputs, int inputs, Int4Format format);

/// The matrix that the int4 values stand for, into `weights` [outputs, inputs] f32 row-major.
void dequantise_int4(const Int4Weights& packed, float* weights);

}  // namespace thermoe
