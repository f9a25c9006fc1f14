// SPDX-License-Identifier: Apache-2.0
#include "core/routing_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "core/errors.h"

namespace thermoe {

RoutingPlan::RoutingPlan(int layers, int experts, int k) {
  THERMOE_EXPECT(layers >= 1 && experts >= 1, "layers={} and experts={} must be positive", layers,
                 experts);
  THERMOE_EXPECT(k >= 1 && k <= experts, "k={} must be within 1..experts={}", k, experts);
  bytes_.resize(byte_size(layers, experts));
  new (bytes_.data()) PlanHeader{.layers = static_cast<std::uint32_t>(layers),
                                 .experts = static_cast<std::uint32_t>(experts)};
  for (int l = 0; l < layers; ++l) {
    new (bytes_.data() + sizeof(PlanHeader) + sizeof(LayerPlan) * l) LayerPlan{.k = k, .k_min = k};
  }
}

std::size_t RoutingPlan::byte_size(int layers, int experts) {
  const auto cells = static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts);
  const std::size_t raw = sizeof(PlanHeader) +
                          sizeof(LayerPlan) * static_cast<std::size_t>(layers) +
                          cells * (2 * sizeof(float) + 2);
  return (raw + 63) / 64 * 64;
}

PlanHeader& RoutingPlan::header() {
  return const_cast<PlanHeader&>(static_cast<const RoutingPlan&>(*this).header());
}
const PlanHeader& RoutingPlan::header() const {
  THERMOE_EXPECT(!bytes_.empty(), "an empty RoutingPlan has no header");
  return *reinterpret_cast<const PlanHeader*>(bytes_.data());
}

LayerPlan& RoutingPlan::layer(int l) {
  return const_cast<LayerPlan&>(static_cast<const RoutingPlan&>(*this).layer(l));
}
const LayerPlan& RoutingPlan::layer(int l) const {
  THERMOE_EXPECT(l >= 0 && l < layers(), "layer {} is outside 0..{}", l, layers() - 1);
  return reinterpret_cast<const LayerPlan*>(bytes_.data() + sizeof(PlanHeader))[l];
}

std::size_t RoutingPlan::table_offset() const {
  return sizeof(PlanHeader) + sizeof(LayerPlan) * header().layers;
}
std::size_t RoutingPlan::bias_at(int l) const {
  THERMOE_EXPECT(l >= 0 && l < layers(), "layer {} is outside 0..{}", l, layers() - 1);
  return table_offset() + sizeof(float) * header().experts * static_cast<std::size_t>(l);
}
std::size_t RoutingPlan::price_at(int l) const {
  return bias_at(l) + sizeof(float) * header().experts * header().layers;
}
std::size_t RoutingPlan::variant_at(int l) const {
  THERMOE_EXPECT(l >= 0 && l < layers(), "layer {} is outside 0..{}", l, layers() - 1);
  const std::size_t cells = std::size_t{header().experts} * header().layers;
  return table_offset() + 2 * sizeof(float) * cells +
         header().experts * static_cast<std::size_t>(l);
}

void RoutingPlan::set_fractional_k(double k) {
  THERMOE_EXPECT(k >= 1.0 && k <= experts(), "k={} must be within 1..experts={}", k, experts());
  const double whole = std::floor(k);
  for (int l = 0; l < layers(); ++l) {
    layer(l).k = layer(l).k_min = static_cast<int>(whole);
    layer(l).extra_k_share = static_cast<float>(k - whole);
  }
}

void RoutingPlan::set_opportunistic(double keep) {
  const double whole = std::floor(keep);
  for (int l = 0; l < layers(); ++l) {
    THERMOE_EXPECT(keep >= 1.0 && keep <= layer(l).k, "keep={} must be within 1..k={}", keep,
                   layer(l).k);
    layer(l).k_min = static_cast<int>(whole);
    layer(l).extra_k_min_share = static_cast<float>(keep - whole);
    std::ranges::fill(activation_price(l), std::numeric_limits<float>::infinity());
  }
}

std::span<float> RoutingPlan::selection_bias(int l) {
  return {reinterpret_cast<float*>(bytes_.data() + bias_at(l)), header().experts};
}
std::span<const float> RoutingPlan::selection_bias(int l) const {
  return {reinterpret_cast<const float*>(bytes_.data() + bias_at(l)), header().experts};
}
std::span<float> RoutingPlan::activation_price(int l) {
  return {reinterpret_cast<float*>(bytes_.data() + price_at(l)), header().experts};
}
std::span<const float> RoutingPlan::activation_price(int l) const {
  return {reinterpret_cast<const float*>(bytes_.data() + price_at(l)), header().experts};
}
std::span<std::uint8_t> RoutingPlan::variant(int l) {
  return {reinterpret_cast<std::uint8_t*>(bytes_.data() + variant_at(l)), header().experts};
}
std::span<const std::uint8_t> RoutingPlan::variant(int l) const {
  return {reinterpret_cast<const std::uint8_t*>(bytes_.data() + variant_at(l)), header().experts};
}

PlanLayerView RoutingPlan::view_in(const std::byte* block, int layers, int experts, int layer) {
  const auto at = static_cast<std::size_t>(layer);
  const auto row = static_cast<std::size_t>(experts);
  const std::size_t cells = static_cast<std::size_t>(layers) * row;
  const std::byte* const rows = block + sizeof(PlanHeader);
  const std::byte* const biases = rows + sizeof(LayerPlan) * static_cast<std::size_t>(layers);
  const std::byte* const prices = biases + sizeof(float) * cells;
  const std::byte* const variants = prices + sizeof(float) * cells;
  return {.layer = layer,
          .row = reinterpret_cast<const LayerPlan*>(rows) + at,
          .selection_bias = reinterpret_cast<const float*>(biases) + at * row,
          .activation_price = reinterpret_cast<const float*>(prices) + at * row,
          .variant = reinterpret_cast<const std::uint8_t*>(variants) + at * row};
}
PlanLayerView RoutingPlan::view_at(const std::byte* base, int l) const {
  THERMOE_EXPECT(l >= 0 && l < layers(), "layer {} is outside 0..{}", l, layers() - 1);
  return view_in(base, layers(), experts(), l);
}
PlanLayerView RoutingPlan::view(int l) const { return view_at(bytes_.data(), l); }

namespace {

bool is_share(float share) { return share >= 0.0F && share <= 1.0F; }

std::optional<std::string> find_layer_problem(const RoutingPlan& plan, int l) {
  const LayerPlan& row = plan.layer(l);
  if (row.k < 1 || row.k > plan.experts()) {
    return fmt::format("k={} is outside 1..{}", row.k, plan.experts());
  }
  if (row.k_min < 1 || row.k_min > row.k) {
    return fmt::format("k_min={} is outside 1..k={}", row.k_min, row.k);
  }
  if (!is_share(row.extra_k_share) || !is_share(row.extra_k_min_share)) {
    return fmt::format("extra_k_share={} or extra_k_min_share={} is outside 0..1",
                       row.extra_k_share, row.extra_k_min_share);
  }
  for (const float b : plan.selection_bias(l)) {
    if (!std::isfinite(b)) return fmt::format("selection_bias holds {}; it must be finite", b);
  }
  for (const float price : plan.activation_price(l)) {
    if (!(price >= 0.0F)) {
      return fmt::format("activation_price holds {}; prices must be >= 0", price);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_problem(const RoutingPlan& plan) {
  for (int l = 0; l < plan.layers(); ++l) {
    if (const auto problem = find_layer_problem(plan, l)) {
      return fmt::format("layer {}: {}", l, *problem);
    }
  }
  return std::nullopt;
}

}  // namespace thermoe
