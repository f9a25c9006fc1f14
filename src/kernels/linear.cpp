// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear.h"

#include <cstddef>

#include "core/errors.h"
#include "kernels/cpu/backends.h"

namespace thermoe {
namespace {

constexpr std::size_t kPanel = 16;

}  // namespace

LinearWeights::LinearWeights(std::span<const float> weight, int outputs, int inputs)
    : outputs_(outputs), inputs_(inputs) {
  const auto in = static_cast<std::size_t>(inputs);
  THERMOE_EXPECT(
      outputs >= 1 && inputs >= 1 && weight.size() == in * static_cast<std::size_t>(outputs),
      "{} weights are not [{}, {}]", weight.size(), outputs, inputs);
  const std::size_t panels = (static_cast<std::size_t>(outputs) + kPanel - 1) / kPanel;
  panels_.assign(panels * in * kPanel, 0.0F);
  for (std::size_t o = 0; o < static_cast<std::size_t>(outputs); ++o) {
    float* panel = panels_.data() + o / kPanel * in * kPanel + o % kPanel;
    for (std::size_t i = 0; i < in; ++i) panel[i * kPanel] = weight[o * in + i];
  }
}

void linear(const LinearArgs& args) {
  THERMOE_EXPECT(args.weights && args.weights->outputs() > 0, "weights is null or empty");
  THERMOE_EXPECT(args.rows >= 0, "rows={} is negative", args.rows);
  THERMOE_EXPECT(args.rows == 0 || (args.x && args.out), "x or out is null");
  cpu::linear(args, cpu::best_isa());
}

}  // namespace thermoe
