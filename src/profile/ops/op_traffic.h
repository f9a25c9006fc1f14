// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "profile/op_point.h"

namespace thermoe {

/// What one execution of a point has to move and to compute, whatever runs it.
struct OpTraffic {
  double bytes = 0.0;         ///< weights, activations and caches, each read or written once
  double flops = 0.0;         ///< two a product that is summed
  double weight_bytes = 0.0;  ///< of all weights, also of experts that do not run
};

/// How many sizes the shape of an op has that thermoe profile knows; nothing for any other op.
std::optional<std::size_t> sizes_of(std::string_view op);

/// Requires a point of an op that thermoe profile knows (`profile_points`).
OpTraffic traffic_of(const OpPoint& point);

}  // namespace thermoe
