// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernel_backend.h"
#include "kernels/aligned_vector.h"
#include "kernels/expert_bank.h"

namespace thermoe {

std::vector<float> random_values(std::size_t n, unsigned seed, float scale);

/// Rounds each value to bf16, nearest and ties to even.
void round_to_bf16(std::vector<float>& values);

/// A layer's dense weights and what a bank is loaded from.
struct LayerWeights {
  explicit LayerWeights(const ExpertLayerShape& s, bool biased = false);

  ExpertTensors tensors() const;
  /// Weights become what bf16 can hold; biases stay.
  void cut_to_bf16();
  /// Expert e's weights become what they are after a trip through int4.
  void quantise(int e, Int4Format format);

  ExpertLayerShape shape;
  std::vector<float> gate{};
  std::vector<float> up{};
  std::vector<float> down{};
  std::vector<float> up_bias{};
  std::vector<float> down_bias{};
};

/// Tokens with their picks, no expert twice in a token; about one slot in six is empty. Only the
/// first `active` experts are picked (0: all).
struct Batch {
  Batch(const ExpertLayerShape& shape, int token_count, int slot_count, unsigned seed = 9,
        int active = 0);

  int tokens;
  int slots;
  std::vector<float> hidden{};
  std::vector<std::int32_t> expert{};
  std::vector<float> weight{};
};

/// A call on a batch, and what its pointers point to.
struct ExpertsCall {
  ExpertsCall(const ExpertBankView& bank, const Batch& batch,
              std::span<const std::uint8_t> variant = {});

  std::vector<std::int32_t> first;
  std::vector<std::int32_t> pair;
  AlignedVector<std::byte> workspace;
  std::vector<float> out;
  GroupedExpertsArgs args{};
};

std::vector<float> run(const KernelBackend& backend, const ExpertBank& bank, const Batch& batch,
                       std::span<const std::uint8_t> variant = {});

/// Weights and a batch as the backend can take them: bf16 where it multiplies such.
LayerWeights weights_for(const KernelBackend& backend, const ExpertLayerShape& shape,
                         bool biased = false);
Batch batch_for(const KernelBackend& backend, const ExpertLayerShape& shape, int tokens, int slots,
                unsigned seed = 9, int active = 0);

/// Against float64. `output_error` is the relative error of an output's type.
///
/// A backend of f32 is within 3e-5: sums of a hundred terms of order 1, each 2^-24 off at most,
/// after activations of that error. One that multiplies bf16 rounds each activation between the
/// matrices once, by 2^-8 of it at most: per output 2^-8 of the sum of |mixing weight * down weight
/// * activation|, and 2 % of that for the f32 sums.
void expect_matches_oracle(const KernelBackend& backend, const std::vector<float>& out,
                           const LayerWeights& weights, const Batch& batch,
                           double output_error = 0.0);

}  // namespace thermoe
