// SPDX-License-Identifier: Apache-2.0
#include "kernels/permute_combine.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "kernels/cpu/backends.h"

namespace thermoe::cpu {
namespace {

enum class Bf16 : std::uint16_t {};

float widened(float value) { return value; }
float widened(Bf16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

template <class T>
T narrowed(float value);
template <>
float narrowed<float>(float value) {
  return value;
}
/// Rounds to nearest, ties to even; a NaN stays one.
template <>
Bf16 narrowed<Bf16>(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<Bf16>((bits >> 16) | 0x40U);
  return static_cast<Bf16>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

template <class T>
void permute_rows(const PermuteArgs& a) {
  const auto width = static_cast<std::ptrdiff_t>(a.width);
  const auto* x = static_cast<const T*>(a.x);
  auto* rows = static_cast<T*>(a.rows);
  const std::int32_t picks = a.tokens * a.slots;
  const std::int32_t filled = a.order.first[a.experts];
  std::fill_n(a.row, picks, -1);
  for (std::int32_t r = 0; r < filled; ++r) {
    const std::int32_t pick = a.order.pair[r];
    a.row[pick] = r;
    std::copy_n(x + pick / a.slots * width, width, rows + r * width);
  }
  std::fill(rows + filled * width, rows + picks * width, T{});
}

template <class T>
void combine_rows(const CombineArgs& a) {
  const auto width = static_cast<std::ptrdiff_t>(a.width);
  const auto* rows = static_cast<const T*>(a.rows);
  auto* out = static_cast<T*>(a.out);
  constexpr std::ptrdiff_t kBlock = 64;  // sums at hand
  float sum[kBlock];
  for (std::ptrdiff_t t = 0; t < a.tokens; ++t) {
    for (std::ptrdiff_t first = 0; first < width; first += kBlock) {
      const std::ptrdiff_t n = std::min(kBlock, width - first);
      std::fill_n(sum, n, 0.0F);
      for (std::ptrdiff_t pick = t * a.slots; pick < (t + 1) * a.slots; ++pick) {
        if (a.row[pick] < 0) continue;
        const T* row = rows + a.row[pick] * width + first;
        const float weight = a.weight ? a.weight[pick] : 1.0F;
        for (std::ptrdiff_t i = 0; i < n; ++i) sum[i] += weight * widened(row[i]);
      }
      for (std::ptrdiff_t i = 0; i < n; ++i) out[t * width + first + i] = narrowed<T>(sum[i]);
    }
  }
}

template <class T>
void combine_rows_backward(const CombineBackwardArgs& a) {
  const auto width = static_cast<std::ptrdiff_t>(a.width);
  const auto* rows = static_cast<const T*>(a.rows);
  auto* grad_rows = static_cast<T*>(a.grad_rows);
  const std::int32_t picks = a.tokens * a.slots;
  for (std::int32_t pick = 0; pick < picks; ++pick) {
    a.grad_weight[pick] = 0.0F;
    if (a.row[pick] < 0) continue;
    const T* grad = static_cast<const T*>(a.grad_out) + pick / a.slots * width;
    const std::ptrdiff_t at = a.row[pick] * width;
    for (std::ptrdiff_t i = 0; i < width; ++i) {
      a.grad_weight[pick] += widened(rows[at + i]) * widened(grad[i]);
      grad_rows[at + i] = narrowed<T>(a.weight[pick] * widened(grad[i]));
    }
  }
  std::fill(grad_rows + *a.filled * width, grad_rows + picks * width, T{});
}

}  // namespace

void permute(const PermuteArgs& args) {
  args.type == FloatType::kF32 ? permute_rows<float>(args) : permute_rows<Bf16>(args);
}

void combine(const CombineArgs& args) {
  args.type == FloatType::kF32 ? combine_rows<float>(args) : combine_rows<Bf16>(args);
}

void combine_backward(const CombineBackwardArgs& args) {
  args.type == FloatType::kF32 ? combine_rows_backward<float>(args)
                               : combine_rows_backward<Bf16>(args);
}

}  // namespace thermoe::cpu
