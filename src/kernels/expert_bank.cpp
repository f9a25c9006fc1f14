// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_bank.h"

#include <algorithm>
#include <bit>

#include "core/errors.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

constexpr int kPanel = 16;

/// Row-major [rows, columns] into panels [rows / 16][columns][16]; `panels` holds zeros.
void pack_panels(const float* matrix, int rows, int columns, float* panels) {
  for (int r = 0; r < rows; ++r) {
    float* panel = panels + static_cast<std::ptrdiff_t>(r / kPanel) * columns * kPanel + r % kPanel;
    const float* row = matrix + static_cast<std::ptrdiff_t>(r) * columns;
    for (int c = 0; c < columns; ++c) panel[static_cast<std::ptrdiff_t>(c) * kPanel] = row[c];
  }
}

/// The same with the upper halves of two neighbouring columns in a word; `panels` holds zeros.
void pack_panels(const float* matrix, int rows, int columns, std::uint32_t* panels) {
  const int pairs = (columns + 1) / 2;
  for (int r = 0; r < rows; ++r) {
    std::uint32_t* panel =
        panels + static_cast<std::ptrdiff_t>(r / kPanel) * pairs * kPanel + r % kPanel;
    const float* row = matrix + static_cast<std::ptrdiff_t>(r) * columns;
    for (int c = 0; c < columns; ++c) {
      const std::uint32_t half = std::bit_cast<std::uint32_t>(row[c]) >> 16;
      panel[static_cast<std::ptrdiff_t>(c / 2) * kPanel] |= c % 2 == 0 ? half : half << 16;
    }
  }
}

/// Packs all experts of a layer, one after the other.
template <class Element>
void pack_experts(const ExpertTensors& tensors, const ExpertLayerShape& shape,
                  std::size_t hidden_size, std::size_t down_size, Element* to) {
  const std::ptrdiff_t source = static_cast<std::ptrdiff_t>(shape.d_ff) * shape.d_model;
  for (int e = 0; e < shape.experts; ++e) {
    for (const float* hidden : {tensors.gate, tensors.up}) {
      if (!hidden) continue;
      pack_panels(hidden + e * source, shape.d_ff, shape.d_model, to);
      to += hidden_size;
    }
    pack_panels(tensors.down + e * source, shape.d_model, shape.d_ff, to);
    to += down_size;
  }
}

/// [experts, width] into [experts, padded] with zeros behind each row; empty where there is no
/// bias.
AlignedVector<float> pad_rows(const float* rows, int experts, int width, int padded) {
  AlignedVector<float> out;
  if (!rows) return out;
  out.resize(static_cast<std::size_t>(experts) * padded);
  for (int e = 0; e < experts; ++e) {
    std::copy_n(rows + static_cast<std::ptrdiff_t>(e) * width, width,
                out.begin() + static_cast<std::ptrdiff_t>(e) * padded);
  }
  return out;
}

void check_int4(const Int4Weights& w, int outputs, int inputs, int group, const char* name,
                std::size_t e) {
  THERMOE_EXPECT(w.outputs() == outputs && w.inputs() == inputs,
                 "int4 {} of expert {} is [{}, {}], expected [{}, {}]", name, e, w.outputs(),
                 w.inputs(), outputs, inputs);
  THERMOE_EXPECT(w.format().group == group,
                 "int4 {} of expert {} has groups of {}; gates, ups and expert 0 have {}", name, e,
                 w.format().group, group);
}

/// Words of an int4 matrix in panels, and its groups: as many scales and zero points.
std::size_t int4_words(int outputs, int inputs) {
  return static_cast<std::size_t>((outputs + kPanel - 1) / kPanel) * kPanel *
         static_cast<std::size_t>(inputs / Int4Weights::kPerWord);
}
std::size_t int4_cells(int outputs, int inputs, int group) {
  return static_cast<std::size_t>((outputs + kPanel - 1) / kPanel) * kPanel *
         static_cast<std::size_t>(inputs / group);
}

}  // namespace

ExpertBank::ExpertBank(ExpertLayerShape shape) : shape_(shape) {
  THERMOE_EXPECT(shape.experts >= 1 && shape.experts <= kMaxExperts, "experts={} is outside 1..{}",
                 shape.experts, kMaxExperts);
  THERMOE_EXPECT(shape.d_model >= 1 && shape.d_ff >= 1, "d_model={} and d_ff={} must be positive",
                 shape.d_model, shape.d_ff);
}

std::size_t ExpertBank::hidden_panels_size(bool halves) const {
  const int row = halves ? (shape_.d_model + 1) / 2 : shape_.d_model;
  return static_cast<std::size_t>(shape_.padded_ff()) * row;
}
std::size_t ExpertBank::down_panels_size(bool halves) const {
  const int row = halves ? (shape_.d_ff + 1) / 2 : shape_.d_ff;
  return static_cast<std::size_t>(shape_.padded_model()) * row;
}
std::size_t ExpertBank::expert_size(bool halves) const {
  return (gated() ? 2 : 1) * hidden_panels_size(halves) + down_panels_size(halves);
}

std::size_t ExpertBank::expert_bytes(int variant) const {
  if (variant == 0) {
    return expert_size(f32_is_bf16()) * sizeof(float);
  }
  THERMOE_EXPECT(variant == 1 && has_int4(), "the bank has no variant {}", variant);
  const auto all =
      words_.size() * sizeof(std::uint32_t) + scales_.size() * sizeof(float) + zero_points_.size();
  return all / static_cast<std::size_t>(shape_.experts);
}

void ExpertBank::check(const ExpertTensors& tensors) const {
  THERMOE_EXPECT(tensors.up && tensors.down, "the up (fc1) or down (fc2) tensor is missing");
  THERMOE_EXPECT((tensors.gate != nullptr) == gated(), "a gate tensor is {}",
                 gated() ? "missing" : "given for plain experts");
}

void ExpertBank::load_biases(const ExpertTensors& tensors) {
  up_bias_ = pad_rows(tensors.up_bias, shape_.experts, shape_.d_ff, shape_.padded_ff());
  down_bias_ = pad_rows(tensors.down_bias, shape_.experts, shape_.d_model, shape_.padded_model());
}

bool ExpertBank::exact_in_bf16(const ExpertTensors& tensors) const {
  const std::ptrdiff_t cells =
      static_cast<std::ptrdiff_t>(shape_.experts) * shape_.d_ff * shape_.d_model;
  const auto exact = [&](const float* w) {
    return !w || std::all_of(w, w + cells, [](float x) {
      return (std::bit_cast<std::uint32_t>(x) & 0xffffU) == 0;
    });
  };
  return exact(tensors.gate) && exact(tensors.up) && exact(tensors.down);
}

void ExpertBank::load_f32(const ExpertTensors& tensors) {
  check(tensors);
  load_biases(tensors);
  const bool halves = exact_in_bf16(tensors);
  const std::size_t size = expert_size(halves) * static_cast<std::size_t>(shape_.experts);
  const std::size_t hidden = hidden_panels_size(halves);
  const std::size_t down = down_panels_size(halves);
  f32_.clear();
  bf16_.clear();
  if (halves) {
    bf16_.assign(size, 0);
    pack_experts(tensors, shape_, hidden, down, bf16_.data());
  } else {
    f32_.assign(size, 0.0F);
    pack_experts(tensors, shape_, hidden, down, f32_.data());
  }
}

void ExpertBank::load_int4(const ExpertTensors& tensors, Int4Format format) {
  check(tensors);
  const auto [experts, d, ff, kind] = shape_;
  const std::ptrdiff_t source = static_cast<std::ptrdiff_t>(ff) * d;
  std::vector<QuantizedExpert> quantised;
  for (int e = 0; e < experts; ++e) {
    const ExpertMatrices expert{.gate = gated() ? tensors.gate + e * source : nullptr,
                                .up = tensors.up + e * source,
                                .down = tensors.down + e * source};
    quantised.push_back(quantise_expert(expert, d, ff, format));
  }
  load_int4(quantised);
  load_biases(tensors);
}

void ExpertBank::load_int4(const std::vector<QuantizedExpert>& experts) {
  THERMOE_EXPECT(experts.size() == static_cast<std::size_t>(shape_.experts),
                 "{} int4 experts given for {}", experts.size(), shape_.experts);
  // Gate and up share a tile, and with it the places where a group ends.
  const int hidden_group = experts.front().up.format().group;
  const int down_group = experts.front().down.format().group;
  bool zero_points = false;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    const auto& [gate, up, down] = experts[e];
    if (gated()) check_int4(gate, shape_.d_ff, shape_.d_model, hidden_group, "gate", e);
    check_int4(up, shape_.d_ff, shape_.d_model, hidden_group, "up", e);
    check_int4(down, shape_.d_model, shape_.d_ff, down_group, "down", e);
    zero_points = zero_points || experts[e].has_zero_points();
  }
  hidden_group_ = hidden_group;
  down_group_ = down_group;
  words_.clear();
  scales_.clear();
  zero_points_.clear();
  for (const QuantizedExpert& expert : experts) {
    for (const Int4Weights* w : {&expert.gate, &expert.up, &expert.down}) {
      if (w == &expert.gate && !gated()) continue;
      const std::size_t cells = int4_cells(w->outputs(), w->inputs(), w->format().group);
      words_.insert(words_.end(), w->words(), w->words() + int4_words(w->outputs(), w->inputs()));
      scales_.insert(scales_.end(), w->scales(), w->scales() + cells);
      if (w->zero_points()) {
        zero_points_.insert(zero_points_.end(), w->zero_points(), w->zero_points() + cells);
      } else if (zero_points) {
        zero_points_.insert(zero_points_.end(), cells, Int4Weights::kMiddle);
      }
    }
  }
}

template <class Element>
ExpertWeights<PanelMatrices<Element>> ExpertBank::panels(const AlignedVector<Element>& all,
                                                         bool halves) const {
  if (all.empty()) return {};
  const auto hidden = static_cast<std::ptrdiff_t>(hidden_panels_size(halves));
  const auto stride = static_cast<std::ptrdiff_t>(expert_size(halves));
  const Element* up = gated() ? all.data() + hidden : all.data();
  return {.gate = {gated() ? all.data() : nullptr, stride},
          .up = {up, stride},
          .down = {up + hidden, stride}};
}

ExpertWeights<Int4Matrices> ExpertBank::int4_matrices() const {
  if (words_.empty()) return {};
  const auto [experts, d, ff, kind] = shape_;
  Int4Matrices next{.first = {.words = words_.data(),
                              .scales = scales_.data(),
                              .zero_points = zero_points_.empty() ? nullptr : zero_points_.data()},
                    .word_stride = static_cast<std::ptrdiff_t>(words_.size()) / experts,
                    .cell_stride = static_cast<std::ptrdiff_t>(scales_.size()) / experts};
  const auto take = [&next](int outputs, int inputs, int group) {
    Int4Matrices taken = next;
    taken.first.outputs = outputs;
    taken.first.inputs = inputs;
    taken.first.group = group;
    const std::size_t cells = int4_cells(outputs, inputs, group);
    next.first.words += int4_words(outputs, inputs);
    next.first.scales += cells;
    if (next.first.zero_points) next.first.zero_points += cells;
    return taken;
  };
  ExpertWeights<Int4Matrices> weights;
  if (gated()) weights.gate = take(ff, d, hidden_group_);
  weights.up = take(ff, d, hidden_group_);
  weights.down = take(d, ff, down_group_);
  return weights;
}

ExpertBankView ExpertBank::view() const {
  return {.shape = shape_,
          .f32 = panels(f32_, false),
          .bf16 = panels(bf16_, true),
          .int4 = int4_matrices(),
          .up_bias = up_bias_.empty() ? nullptr : up_bias_.data(),
          .down_bias = down_bias_.empty() ? nullptr : down_bias_.data()};
}

}  // namespace thermoe
