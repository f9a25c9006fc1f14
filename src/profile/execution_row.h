// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "cost/cost_table.h"
#include "profile/op_point.h"

namespace thermoe {

/// The row that single executions of a point make: their median, number and spread; no energy.
/// Requires executions.
CostRow row_of(const OpPoint& point, std::span<const std::int64_t> spans_ns);

/// Whether both are of one load, and whether the first stands before the second in a table.
bool same_point(const CostRow& a, const CostRow& b);
bool row_before(const CostRow& a, const CostRow& b);

}  // namespace thermoe
