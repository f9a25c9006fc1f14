// SPDX-License-Identifier: Apache-2.0
#include "kernels/random_expert_bank.h"

#include <utility>

#include "kernels/random_device_data.h"

namespace thermoe {
namespace {

// As small as trained weights are: activations stay finite through any number of layers.
constexpr float kDeviation = 0.02F;
constexpr float kScaleDeviation = 0.005F;  // times int4's own 4.6

/// Sizes of a layer's arrays. Without padding: an expert's matrices are all d_model x d_ff.
struct BankSizes {
  explicit BankSizes(const ExpertLayerShape& shape)
      : matrices(shape.kind == ExpertKind::kSwiGlu ? 3 : 2),
        matrix(static_cast<std::size_t>(shape.d_model) * static_cast<std::size_t>(shape.d_ff)),
        all(matrix * matrices * static_cast<std::size_t>(shape.experts)) {
    for (const int larger : {64, 128}) {
      if (shape.d_model % larger == 0 && shape.d_ff % larger == 0) group = larger;
    }
  }

  std::size_t words() const { return all / Int4View::kPerWord; }
  std::size_t scales() const { return all / static_cast<std::size_t>(group); }

  std::size_t matrices;  ///< an expert
  std::size_t matrix;    ///< cells
  std::size_t all;       ///< cells of all experts
  int group = 32;        ///< of int4
};

/// `matrix(i, outputs, inputs)` for each of an expert's, in the order in which they lie.
template <class Weights, class Matrix>
void lay_out(Weights& weights, const ExpertLayerShape& shape, const Matrix& matrix) {
  std::size_t i = 0;
  if (shape.kind == ExpertKind::kSwiGlu) weights.gate = matrix(i++, shape.d_ff, shape.d_model);
  weights.up = matrix(i++, shape.d_ff, shape.d_model);
  weights.down = matrix(i++, shape.d_model, shape.d_ff);
}

}  // namespace

DeviceExpertBank random_expert_bank(const ExpertLayerShape& shape, const BankPrecisions& precisions,
                                    unsigned seed) {
  THERMOE_EXPECT(shape.d_model % 32 == 0 && shape.d_ff % 32 == 0,
                 "d_model={} and d_ff={} must be multiples of 32", shape.d_model, shape.d_ff);
  THERMOE_EXPECT(precisions.bf16 || precisions.int4, "a bank of no precision");
  const BankSizes sizes(shape);
  std::vector<DeviceMemory> memory;
  ExpertBankView view{.shape = shape};
  if (precisions.bf16) {
    const auto* words =
        memory.emplace_back(normal_bf16(sizes.all, seed, kDeviation)).as<const std::uint32_t>();
    lay_out(view.bf16, shape, [&](std::size_t i, int, int) {
      return PanelMatrices<std::uint32_t>{
          .first = words + i * sizes.matrix / 2,
          .stride = static_cast<std::ptrdiff_t>(sizes.matrices * sizes.matrix / 2)};
    });
  }
  if (precisions.int4) {
    const auto* words =
        memory.emplace_back(random_words(sizes.words(), seed)).as<const std::uint32_t>();
    const auto* scales =
        memory.emplace_back(normal_f32(sizes.scales(), seed, kScaleDeviation)).as<const float>();
    const std::size_t matrix_words = sizes.matrix / Int4View::kPerWord;
    const std::size_t matrix_scales = sizes.matrix / static_cast<std::size_t>(sizes.group);
    lay_out(view.int4, shape, [&](std::size_t i, int outputs, int inputs) {
      return Int4Matrices{
          .first = {.words = words + i * matrix_words,
                    .scales = scales + i * matrix_scales,
                    .outputs = outputs,
                    .inputs = inputs,
                    .group = sizes.group},
          .word_stride = static_cast<std::ptrdiff_t>(sizes.matrices * matrix_words),
          .cell_stride = static_cast<std::ptrdiff_t>(sizes.matrices * matrix_scales)};
    });
  }
  return {std::move(memory), view};
}

std::size_t random_expert_bank_bytes(const ExpertLayerShape& shape,
                                     const BankPrecisions& precisions) {
  const BankSizes sizes(shape);
  std::size_t bytes = 0;
  if (precisions.bf16) bytes += 2 * sizes.all;
  if (precisions.int4) {
    bytes += sizeof(std::uint32_t) * sizes.words() + sizeof(float) * sizes.scales();
  }
  return bytes;
}

}  // namespace thermoe
