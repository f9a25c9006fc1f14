// SPDX-License-Identifier: Apache-2.0
#include "moe/simple_expert.h"

#include <cmath>

#include "core/errors.h"
#include "moe/expert_rows.h"

namespace thermoe {

SimpleExpert SimpleExpert::random(const ModelConfig& c) {
  const std::int64_t d = c.d_model;
  const std::int64_t e = c.experts;
  const std::int64_t f = c.d_ff;
  const double deviation = 1.0 / std::sqrt(static_cast<double>(d));
  // As if the token's picks were one feed-forward of width k * f.
  const double width = static_cast<double>(c.top_k) * c.d_ff;
  SimpleExpert made;
  made.gate = at::randn({e, f, d}) * deviation;
  made.up = at::randn({e, f, d}) * deviation;
  made.down = at::randn({e, d, f}) * (1.0 / std::sqrt(width * 2.0 * c.layers));
  return made;
}

at::Tensor SimpleExpert::forward(const at::Tensor& x, const at::Tensor& gates,
                                 at::ScalarType compute) const {
  const auto experts = gate.size(0);
  const auto f = gate.size(1);
  const auto d = gate.size(2);
  THERMOE_EXPECT(x.dim() == 2 && x.size(1) == d, "x must be [tokens, {}]", d);
  const auto tokens = x.size(0);
  THERMOE_EXPECT(gates.dim() == 2 && gates.size(0) == tokens && gates.size(1) == experts,
                 "gates must be [{}, {}]", tokens, experts);
  const at::Tensor input = x.to(compute);
  const at::Tensor gated = at::linear(input, gate.view({experts * f, d}).to(compute));
  const at::Tensor upped = at::linear(input, up.view({experts * f, d}).to(compute));
  const at::Tensor hidden =
      (at::silu(gated) * upped).view({tokens, experts, f}) * gates.to(compute).unsqueeze(-1);
  // down [E, d, f] as one [d, E f] matrix.
  const at::Tensor wide = down.to(compute).permute({1, 0, 2}).reshape({d, experts * f});
  return at::linear(hidden.view({tokens, experts * f}), wide).to(at::kFloat);
}

at::Tensor SimpleExpert::forward(const at::Tensor& x, const at::Tensor& ids,
                                 const at::Tensor& weights, at::ScalarType compute) const {
  const auto d = gate.size(2);
  THERMOE_EXPECT(x.dim() == 2 && x.size(1) == d, "x must be [tokens, {}]", d);
  const auto width = static_cast<std::int64_t>(16 / at::elementSize(compute));
  if (d % width != 0 || gate.size(1) % width != 0) {
    const at::Tensor kept = at::where(ids.ge(0), weights, 0.0);
    return forward(x,
                   at::zeros({x.size(0), gate.size(0)}, weights.options())
                       .scatter_add(1, ids.clamp_min(0).to(at::kLong), kept),
                   compute);
  }
  const ExpertRows picks(ids, gate.size(0));
  const at::Tensor rows = picks.permute(x.to(compute));
  const auto halves = picks.linear(rows, at::cat({gate, up}, 1).to(compute)).chunk(2, -1);
  const at::Tensor hidden = at::silu(halves[0]) * halves[1];
  return picks.combine(picks.linear(hidden, down.to(compute)), weights).to(at::kFloat);
}

}  // namespace thermoe
