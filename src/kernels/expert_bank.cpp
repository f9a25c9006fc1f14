// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_bank.h"

#include <algorithm>

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

std::size_t ExpertBank::hidden_panels_size() const {
  return static_cast<std::size_t>(padded_ff()) * shape_.d_model;
}
std::size_t ExpertBank::down_panels_size() const {
  return static_cast<std::size_t>(padded_model()) * shape_.d_ff;
}

std::size_t ExpertBank::expert_bytes(int variant) const {
  if (variant == 0) {
    return ((gated() ? 2 : 1) * hidden_panels_size() + down_panels_size()) * sizeof(float);
  }
  THERMOE_EXPECT(variant == 1 && has_int4(), "the bank has no variant {}", variant);
  const Int4Expert& e = int4_.front();
  return (gated() ? e.gate.byte_size() : 0) + e.up.byte_size() + e.down.byte_size();
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

void ExpertBank::load_f32(const ExpertTensors& tensors) {
  check(tensors);
  load_biases(tensors);
  const std::ptrdiff_t source = static_cast<std::ptrdiff_t>(shape_.d_ff) * shape_.d_model;
  f32_.assign(expert_bytes(0) / sizeof(float) * shape_.experts, 0.0F);
  float* to = f32_.data();
  for (int e = 0; e < shape_.experts; ++e) {
    if (gated()) {
      pack_panels(tensors.gate + e * source, shape_.d_ff, shape_.d_model, to);
      to += hidden_panels_size();
    }
    pack_panels(tensors.up + e * source, shape_.d_ff, shape_.d_model, to);
    to += hidden_panels_size();
    pack_panels(tensors.down + e * source, shape_.d_model, shape_.d_ff, to);
    to += down_panels_size();
  }
}

void ExpertBank::load_int4(const ExpertTensors& tensors, Int4Format format) {
  check(tensors);
  const auto [experts, d, ff, kind] = shape_;
  const std::ptrdiff_t source = static_cast<std::ptrdiff_t>(ff) * d;
  std::vector<Int4Expert> quantised(static_cast<std::size_t>(experts));
  for (int e = 0; e < experts; ++e) {
    Int4Expert& to = quantised[static_cast<std::size_t>(e)];
    if (gated()) to.gate = quantise_int4(tensors.gate + e * source, ff, d, format);
    to.up = quantise_int4(tensors.up + e * source, ff, d, format);
    to.down = quantise_int4(tensors.down + e * source, d, ff, format);
  }
  int4_ = std::move(quantised);
  load_biases(tensors);
}

void ExpertBank::load_int4(std::vector<Int4Expert> experts) {
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
  const float* first = f32_.data() + expert_bytes(0) / sizeof(float) * static_cast<std::size_t>(e);
  const float* up = gated() ? first + hidden_panels_size() : first;
  return {.gate = gated() ? first : nullptr, .up = up, .down = up + hidden_panels_size()};
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
