// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/aligned_vector.h"
#include "kernels/expert_bank_view.h"
#include "kernels/quantized_expert.h"

namespace thermoe {

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
///
/// int4 matrices lie as Int4Weights packs them, an expert's after each other too.
class ExpertBank {
 public:
  explicit ExpertBank(ExpertLayerShape shape);

  /// Repacks f32 weights. Throws PreconditionError where a tensor is missing or not wanted.
  void load_f32(const ExpertTensors& tensors);
  /// Quantises f32 weights. Requires format.group to divide d_model and d_ff.
  void load_int4(const ExpertTensors& tensors, Int4Format format);
  /// Takes weights that are int4 already. Requires one entry an expert, of this shape; all gates
  /// and ups have one group, all downs have one. Zero points stand for all if one matrix has them.
  void load_int4(const std::vector<QuantizedExpert>& experts);

  const ExpertLayerShape& shape() const { return shape_; }
  bool gated() const { return shape_.kind == ExpertKind::kSwiGlu; }
  bool has_f32() const { return !f32_.empty() || !bf16_.empty(); }
  /// Whether variant 0 is held as bf16, exactly.
  bool f32_is_bf16() const { return !bf16_.empty(); }
  bool has_int4() const { return !words_.empty(); }
  /// Bytes that one expert reads from memory in this variant (0 = f32, 1 = int4).
  std::size_t expert_bytes(int variant) const;

  /// Valid until the bank is loaded anew.
  ExpertBankView view() const;

 private:
  void check(const ExpertTensors& tensors) const;
  void load_biases(const ExpertTensors& tensors);
  bool exact_in_bf16(const ExpertTensors& tensors) const;
  /// Elements of a matrix in panels: floats, or words of two bf16.
  std::size_t hidden_panels_size(bool halves) const;
  std::size_t down_panels_size(bool halves) const;
  std::size_t expert_size(bool halves) const;
  template <class Element>
  ExpertWeights<PanelMatrices<Element>> panels(const AlignedVector<Element>& all,
                                               bool halves) const;
  ExpertWeights<Int4Matrices> int4_matrices() const;

  ExpertLayerShape shape_;
  AlignedVector<float> f32_;
  AlignedVector<std::uint32_t> bf16_;
  AlignedVector<std::uint32_t> words_;
  AlignedVector<float> scales_;
  AlignedVector<std::uint8_t> zero_points_;
  int hidden_group_ = 0;  // of the int4 gates and ups
  int down_group_ = 0;
  AlignedVector<float> up_bias_;
  AlignedVector<float> down_bias_;
};

}  // namespace thermoe
