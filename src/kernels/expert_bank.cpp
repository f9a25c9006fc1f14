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

void check_int4(const Int4Weights& w, int outputs, int inputs, const char* name, std::size_t e) {
  THERMOE_EXPECT(w.outputs() == outputs && w.inputs() == inputs,
                 "int4 {} of expert {} is [{}, {}], expected [{}, {}]", name, e, w.outputs(),
                 w.inputs(), outputs, inputs);
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
  return static_cast<std::size_t>(padded_ff()) * row;
}
std::size_t ExpertBank::down_panels_size(bool halves) const {
  const int row = halves ? (shape_.d_ff + 1) / 2 : shape_.d_ff;
  return static_cast<std::size_t>(padded_model()) * row;
}
std::size_t ExpertBank::expert_size(bool halves) const {
  return (gated() ? 2 : 1) * hidden_panels_size(halves) + down_panels_size(halves);
}

std::size_t ExpertBank::expert_bytes(int variant) const {
  if (variant == 0) {
    return expert_size(f32_is_bf16()) * sizeof(float);
  }
  THERMOE_EXPECT(variant == 1 && has_int4(), "the bank has no variant {}", variant);
  return int4_.front().byte_size();
}

void ExpertBank::check(const ExpertTensors& tensors) const {
  THERMOE_EXPECT(tensors.up && tensors.down, "the up (fc1) or down (fc2) tensor is missing");
  THERMOE_EXPECT((tensors.gate != nullptr) == gated(), "a gate tensor is {}",
                 gated() ? "missing" : "given for plain experts");
}

void ExpertBank::load_biases(const ExpertTensors& tensors) {
  up_bias_ = pad_rows(tensors.up_bias, shape_.experts, shape_.d_ff, padded_ff());
  down_bias_ = pad_rows(tensors.down_bias, shape_.experts, shape_.d_model, padded_model());
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
  int4_ = std::move(quantised);
  load_biases(tensors);
}

void ExpertBank::load_int4(std::vector<QuantizedExpert> experts) {
  THERMOE_EXPECT(experts.size() == static_cast<std::size_t>(shape_.experts),
                 "{} int4 experts given for {}", experts.size(), shape_.experts);
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (gated()) check_int4(experts[e].gate, shape_.d_ff, shape_.d_model, "gate", e);
    // They share a tile, and with it the places where a group ends.
    THERMOE_EXPECT(!gated() || experts[e].gate.format().group == experts[e].up.format().group,
                   "int4 gate and up of expert {} have groups of {} and {}", e,
                   experts[e].gate.format().group, experts[e].up.format().group);
    check_int4(experts[e].up, shape_.d_ff, shape_.d_model, "up", e);
    check_int4(experts[e].down, shape_.d_model, shape_.d_ff, "down", e);
  }
  int4_ = std::move(experts);
}

ExpertBank::F32Expert ExpertBank::f32(int e) const {
  const float* first = f32_.data() + expert_size(false) * static_cast<std::size_t>(e);
  const std::size_t hidden = hidden_panels_size(false);
  const float* up = gated() ? first + hidden : first;
  return {.gate = gated() ? first : nullptr, .up = up, .down = up + hidden};
}

ExpertBank::Bf16Expert ExpertBank::bf16(int e) const {
  const std::uint32_t* first = bf16_.data() + expert_size(true) * static_cast<std::size_t>(e);
  const std::size_t hidden = hidden_panels_size(true);
  const std::uint32_t* up = gated() ? first + hidden : first;
  return {.gate = gated() ? first : nullptr, .up = up, .down = up + hidden};
}

const float* ExpertBank::up_bias(int e) const {
  return up_bias_.empty() ? nullptr
                          : up_bias_.data() + static_cast<std::ptrdiff_t>(e) * padded_ff();
}
const float* ExpertBank::down_bias(int e) const {
  return down_bias_.empty() ? nullptr
                            : down_bias_.data() + static_cast<std::ptrdiff_t>(e) * padded_model();
}

}  // namespace thermoe
