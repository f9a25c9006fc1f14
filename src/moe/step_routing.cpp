// SPDX-License-Identifier: Apache-2.0
#include "moe/step_routing.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

/// Copies `values` to their layer's place in `all`, and shows them there.
template <class T>
std::span<T> kept(std::vector<T>& all, std::size_t at, std::span<const T> values) {
  const auto place = std::span(all).subspan(at, values.size());
  std::ranges::copy(values, place.begin());
  return place;
}

}  // namespace

StepRouting::StepRouting(int layers, int experts, int max_tokens)
    : experts_(experts),
      max_tokens_(max_tokens),
      expert_(static_cast<std::size_t>(layers) * max_tokens * experts),
      weight_(expert_.size()),
      counts_(static_cast<std::size_t>(layers) * experts),
      kept_mass_(static_cast<std::size_t>(layers) * max_tokens),
      first_(static_cast<std::size_t>(layers) * (experts + 1)),
      pair_(expert_.size()),
      layers_(layers) {}

void StepRouting::keep(int layer, const LayerRouting& r) {
  THERMOE_EXPECT(r.tokens <= max_tokens_ && r.slots <= experts_,
                 "{} tokens of {} slots do not fit {} of {}", r.tokens, r.slots, max_tokens_,
                 experts_);
  const auto l = static_cast<std::size_t>(layer);
  const std::size_t tokens = l * max_tokens_;
  const std::span<const std::int32_t> first(r.order.first, experts_ + 1);
  const std::span<const std::int32_t> pair(r.order.pair, first.back());
  layers_.at(l) = {.tokens = r.tokens,
                   .slots = r.slots,
                   .expert = kept(expert_, tokens * experts_, r.expert),
                   .weight = kept(weight_, tokens * experts_, r.weight),
                   .counts = kept(counts_, l * experts_, r.counts),
                   .kept_mass = kept(kept_mass_, tokens, r.kept_mass),
                   .order = {kept(first_, l * (experts_ + 1), first).data(),
                             kept(pair_, tokens * experts_, pair).data()}};
}

}  // namespace thermoe
