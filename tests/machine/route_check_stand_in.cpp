// SPDX-License-Identifier: Apache-2.0
// Until machine/route_check.cpp is there: versions are compared, and first picks with the router's.
#include <algorithm>

#include "core/errors.h"
#include "machine/route_check.h"

namespace thermoe {

std::uint64_t check_routing(const StagedStep& step, const RouterSpec&, const RoutedPicks& picks) {
  const auto version = step.plan.header().version;
  if (picks.plan_version != version) throw Error(fmt::format("version {}", version));
  const auto row = step.sample.layer(0).first(static_cast<std::size_t>(step.sample.experts));
  if (picks.expert[0] != std::ranges::max_element(row) - row.begin()) {
    throw Error(fmt::format("plan version {}: layer 0, token 0 differ", version));
  }
  return 0;
}

}  // namespace thermoe
