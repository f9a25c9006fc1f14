// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/int4_weights.h"

namespace thermoe {

/// What an expert computes from x:
///   kSwiGlu: down(silu(gate x) * (up x))      kRelu, kGelu: fc2(act(fc1 x))
/// kGelu is the tanh form. For the plain kinds `up` means fc1 and `down` means fc2.
enum class ExpertKind { kSwiGlu, kRelu, kGelu };

struct ExpertLayerShape {
  int experts = 0;  ///< 1..kMaxExperts
  int d_model = 0;
  int d_ff = 0;
  ExpertKind kind = ExpertKind::kSwiGlu;

  /// d_ff and d_model rounded up to whole panels.
  int padded_ff() const { return (d_ff + 15) / 16 * 16; }
  int padded_model() const { return (d_model + 15) / 16 * 16; }
};

/// One matrix of every expert, in panels of floats or of words of two bf16 (ExpertBank says how).
template <class Element>
struct PanelMatrices {
  const Element* first = nullptr;  ///< expert 0's
  std::ptrdiff_t stride = 0;       ///< elements from one expert's to the next

  const Element* of(int e) const { return first + stride * e; }
};

/// One matrix of every expert in int4, all of one format.
struct Int4Matrices {
  Int4View first{};                ///< expert 0's
  std::ptrdiff_t word_stride = 0;  ///< words from one expert's to the next
  std::ptrdiff_t cell_stride = 0;  ///< scales, and zero points

  Int4View of(int e) const {
    Int4View w = first;
    w.words += word_stride * e;
    w.scales += cell_stride * e;
    if (w.zero_points) w.zero_points += cell_stride * e;
    return w;
  }
};

/// The matrices of a layer's experts in one precision, in arrays [experts][gate, up, down]; no
/// `gate` for the plain kinds.
template <class Matrices>
struct ExpertWeights {
  Matrices gate{};
  Matrices up{};
  Matrices down{};
};

/// The weights of a layer's experts where they lie: in an ExpertBank, or on a device in a
/// DeviceExpertBank. Variant 0 is f32 or bf16, variant 1 is int4; a bank holds one of them or both.
struct ExpertBankView {
  ExpertLayerShape shape{};
  ExpertWeights<PanelMatrices<float>> f32{};
  ExpertWeights<PanelMatrices<std::uint32_t>> bf16{};
  ExpertWeights<Int4Matrices> int4{};
  const float* up_bias = nullptr;    ///< [experts, padded d_ff] or null
  const float* down_bias = nullptr;  ///< [experts, padded d_model] or null

  bool gated() const { return shape.kind == ExpertKind::kSwiGlu; }
  bool has_f32() const { return f32.up.first != nullptr; }
  bool has_bf16() const { return bf16.up.first != nullptr; }
  bool has_int4() const { return int4.up.first.words != nullptr; }
  bool holds(int variant) const {
    return variant == 0 ? has_f32() || has_bf16() : variant == 1 && has_int4();
  }
};

}  // namespace thermoe
