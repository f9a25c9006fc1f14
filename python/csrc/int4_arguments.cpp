// SPDX-License-Identifier: Apache-2.0
#include "int4_arguments.h"

#include <fmt/format.h>

#include "core/errors.h"

namespace thermoe::torch_ops {
namespace {

constexpr std::int64_t kPanel = Int4View::kPanel;

/// Inputs that share a scale.
std::int64_t group_of(const Int4Arguments& matrix, const char* name, std::int64_t inputs,
                      std::size_t groups_dim) {
  const auto sizes = matrix.scales.sizes();
  THERMOE_EXPECT(sizes.size() == groups_dim + 2, "{}scales is {}; expected {} dimensions", name,
                 matrix.scales.describe(), groups_dim + 2);
  const std::int64_t groups = sizes[groups_dim];
  const std::int64_t group = groups > 0 ? inputs / groups : 0;
  THERMOE_EXPECT((group == 32 || group == 64 || group == 128) && group * groups == inputs,
                 "{}scales has {} groups for {} inputs; groups are of 32, 64 or 128 inputs", name,
                 groups, inputs);
  return group;
}

}  // namespace

Int4View int4_view(const Arguments& tensors, const Int4Arguments& matrix, const char* name,
                   std::int64_t outputs, std::int64_t inputs) {
  const std::int64_t group = group_of(matrix, name, inputs, 1);
  const std::int64_t panels = (outputs + kPanel - 1) / kPanel;
  tensors.expect(matrix.words, fmt::format("{}words", name).c_str(), {DType::kI32},
                 {panels, inputs / 8, kPanel});
  tensors.expect(matrix.scales, fmt::format("{}scales", name).c_str(), {DType::kF32},
                 {panels, inputs / group, kPanel});
  const void* const zeros =
      tensors.expect(matrix.zero_points, fmt::format("{}zero_points", name).c_str(), DType::kU8,
                     {panels, inputs / group, kPanel});
  return {.words = matrix.words.data_as<std::uint32_t>(),
          .scales = matrix.scales.data_as<float>(),
          .zero_points = static_cast<const std::uint8_t*>(zeros),
          .outputs = to_int(outputs, "outputs"),
          .inputs = to_int(inputs, "inputs"),
          .group = static_cast<int>(group)};
}

Int4Matrices int4_matrices(const Arguments& tensors, const Int4Arguments& matrix, const char* name,
                           std::int64_t experts, std::int64_t outputs, std::int64_t inputs) {
  const std::int64_t group = group_of(matrix, name, inputs, 2);
  const std::int64_t panels = (outputs + kPanel - 1) / kPanel;
  tensors.expect(matrix.words, fmt::format("{}words", name).c_str(), {DType::kI32},
                 {experts, panels, inputs / 8, kPanel});
  tensors.expect(matrix.scales, fmt::format("{}scales", name).c_str(), {DType::kF32},
                 {experts, panels, inputs / group, kPanel});
  const void* const zeros =
      tensors.expect(matrix.zero_points, fmt::format("{}zero_points", name).c_str(), DType::kU8,
                     {experts, panels, inputs / group, kPanel});
  return {.first = {.words = matrix.words.data_as<std::uint32_t>(),
                    .scales = matrix.scales.data_as<float>(),
                    .zero_points = static_cast<const std::uint8_t*>(zeros),
                    .outputs = to_int(outputs, "outputs"),
                    .inputs = to_int(inputs, "inputs"),
                    .group = static_cast<int>(group)},
          .word_stride = static_cast<std::ptrdiff_t>(panels * (inputs / 8) * kPanel),
          .cell_stride = static_cast<std::ptrdiff_t>(panels * (inputs / group) * kPanel)};
}

}  // namespace thermoe::torch_ops
