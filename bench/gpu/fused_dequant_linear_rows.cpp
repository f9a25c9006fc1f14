// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include <memory>

#include "kernels/random_device_data.h"
#include "rotating_sets.h"
#include "rows.h"
#include "shared_data.h"

namespace thermoe::bench {
namespace {

constexpr int kOutputs = 14336;
constexpr int kInputs = 4096;
constexpr int kGroup = 128;
constexpr std::size_t kWords = std::size_t{kOutputs} * kInputs / 8;
constexpr std::size_t kCells = std::size_t{kOutputs} * kInputs / kGroup;

/// Random weights on the device; the layout of random bits is any layout.
struct Matrix {
  DeviceMemory words;
  DeviceMemory scales;
  DeviceMemory zero_points;

  Int4View view(bool with_zero_points) const {
    return {.words = words.as<std::uint32_t>(),
            .scales = scales.as<float>(),
            .zero_points = with_zero_points ? zero_points.as<std::uint8_t>() : nullptr,
            .outputs = kOutputs,
            .inputs = kInputs,
            .group = kGroup};
  }
};
using Matrices = std::vector<Matrix>;

Matrices make_matrices() {
  Matrices all;
  const int sets = sets_to_rotate(4.0 * kWords);
  for (int i = 0; i < sets; ++i) {
    const auto seed = static_cast<unsigned>(i);
    // Zero points are nibbles: a byte of random bits would be too large.
    all.push_back({.words = random_words(kWords, seed),
                   .scales = normal_f32(kCells, seed, 0.01F),
                   .zero_points = random_nibbles(kCells, seed)});
  }
  return all;
}

struct Case {
  Backend backend;
  int tokens;
  bool zero_points = false;
};

Row linear_row(const Case& c, const SharedData<Matrices>& shared) {
  const auto prepare = [=] {
    const auto matrices = shared.get(make_matrices);
    const auto tokens = static_cast<std::size_t>(c.tokens);
    const auto x = std::make_shared<DeviceMemory>(normal_bf16(tokens * kInputs, 1));
    const auto out = std::make_shared<DeviceMemory>(tokens * kOutputs * 2);
    const auto enqueue = [=](int call, Stream stream) {
      const Matrix& matrix = (*matrices)[static_cast<std::size_t>(call) % matrices->size()];
      fused_dequant_linear(c.backend,
                           {.x = x->data(),
                            .x_type = FloatType::kBf16,
                            .tokens = c.tokens,
                            .weights = matrix.view(c.zero_points),
                            .out = out->data(),
                            .out_type = FloatType::kBf16},
                           stream);
    };
    const std::size_t weights = 4 * kWords + (c.zero_points ? 5 : 4) * kCells;
    return Work{.enqueue = enqueue,
                .bytes = static_cast<double>(weights + x->size() + out->size())};
  };
  Row row{.op = "fused_dequant_linear",
          .shape = {{"tokens", c.tokens},
                    {"outputs", kOutputs},
                    {"inputs", kInputs},
                    {"weights", "int4"},
                    {"group", kGroup}},
          .impl = std::string(to_string(c.backend)),
          .prepare = prepare};
  if (c.zero_points) row.shape["zero_points"] = true;
  return row;
}

}  // namespace

std::vector<Row> fused_dequant_linear_rows() {
  const SharedData<Matrices> shared;
  std::vector<Row> rows;
  for (const Backend backend : {Backend::kCuda, Backend::kTriton}) {
    for (const int tokens : {1, 16, 64, 256, 1024}) {
      rows.push_back(linear_row({.backend = backend, .tokens = tokens}, shared));
    }
  }
  for (const int tokens : {1, 16, 64}) {
    rows.push_back(
        linear_row({.backend = Backend::kCuda, .tokens = tokens, .zero_points = true}, shared));
  }
  return rows;
}

}  // namespace thermoe::bench
