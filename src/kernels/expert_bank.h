// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/aligned_vector.h"
#include "kernels/quantized_expert.h"

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
};

/// A layer's f32 weights as checkpoints hold them, row-major. Views.
struct ExpertTensors {
  const float* gate = nullptr;       ///< [experts, d_ff, d_model]; kSwiGlu only, else null
  const float* up = nullptr;         ///< [experts, d_ff, d_model]; fc1 of a plain expert
  const float* down = nullptr;       ///< [experts, d_model, d_ff]; fc2 of a plain expert
  const float* up_bias = nullptr;    ///< [experts, d_ff] or null
  const float* down_bias = nullptr;  ///< [experts, d_model] or null
};

/// All experts of a layer, repacked once for the grouped kernel: f32 (variant 0), int4 (variant 1)
/// or both, so that each expert's precision can be chosen per call.
///
/// f32 matrices [outputs, inputs] lie in panels of 16 outputs, [panels][inputs][16], the last panel
/// padded with zeros: one load gives 16 outputs' weights for one input, which 16 lanes multiply by
/// that input. An expert's matrices follow each other (gate, up, down) and stream from memory.
///
/// Weights that are all exact in bf16, as those of most checkpoints are, keep their upper halves
/// only: half the memory to read, the same products. Panels are then [panels][inputs / 2][16] words
/// of two inputs, the first in the lower half; a last odd input has zeros beside it.
class ExpertBank {
 public:
  explicit ExpertBank(ExpertLayerShape shape);

  /// Repacks f32 weights. Throws PreconditionError where a tensor is missing or not wanted.
  void load_f32(const ExpertTensors& tensors);
  /// Quantises f32 weights. Requires format.group to divide d_model and d_ff.
  void load_int4(const ExpertTensors& tensors, Int4Format format);
  /// Takes weights that are int4 already. Requires one entry an expert of this shape.
  void load_int4(std::vector<QuantizedExpert> experts);

  const ExpertLayerShape& shape() const { return shape_; }
  bool gated() const { return shape_.kind == ExpertKind::kSwiGlu; }
  bool has_f32() const { return !f32_.empty() || !bf16_.empty(); }
  /// Whether variant 0 is held as bf16, exactly.
  bool f32_is_bf16() const { return !bf16_.empty(); }
  bool has_int4() const { return !int4_.empty(); }
  /// Bytes that one expert reads from memory in this variant (0 = f32, 1 = int4).
  std::size_t expert_bytes(int variant) const;

  /// For backends. d_ff and d_model rounded up to whole panels.
  int padded_ff() const { return (shape_.d_ff + 15) / 16 * 16; }
  int padded_model() const { return (shape_.d_model + 15) / 16 * 16; }
  /// Panels of expert e; `gate` is null for the plain kinds.
  struct F32Expert {
    const float* gate;
    const float* up;
    const float* down;
  };
  F32Expert f32(int e) const;  ///< requires has_f32() and not f32_is_bf16()
  struct Bf16Expert {
    const std::uint32_t* gate;
    const std::uint32_t* up;
    const std::uint32_t* down;
  };
  Bf16Expert bf16(int e) const;  ///< requires f32_is_bf16()
  const QuantizedExpert& int4(int e) const { return int4_[static_cast<std::size_t>(e)]; }
  /// Biases of expert e, padded with zeros to whole panels; null where there are none.
  const float* up_bias(int e) const;
  const float* down_bias(int e) const;

 private:
  void check(const ExpertTensors& tensors) const;
  void load_biases(const ExpertTensors& tensors);
  bool exact_in_bf16(const ExpertTensors& tensors) const;
  /// Elements of a matrix in panels: floats, or words of two bf16.
  std::size_t hidden_panels_size(bool halves) const;
  std::size_t down_panels_size(bool halves) const;
  std::size_t expert_size(bool halves) const;

  ExpertLayerShape shape_;
  AlignedVector<float> f32_;
  AlignedVector<std::uint32_t> bf16_;
  std::vector<QuantizedExpert> int4_;
  AlignedVector<float> up_bias_;
  AlignedVector<float> down_bias_;
};

}  // namespace thermoe
