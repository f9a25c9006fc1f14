// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "row.h"

namespace thermoe::bench {

/// Each op's rows stand in a file of its own, <op>_rows.cpp; a new one is called in `op_rows`.

/// Plain reads of more than a gigabyte: the best of them is the bandwidth that floors follow from.
std::vector<Row> read_rows();
std::vector<Row> permute_combine_rows();
std::vector<Row> fused_dequant_linear_rows();
std::vector<Row> topk_route_rows();
std::vector<Row> grouped_experts_rows();
/// Kernels that do nothing: what a launch costs within a graph.
std::vector<Row> empty_kernel_rows();
/// The row with an ordinary empty kernel after each call, which keeps calls from overlapping by
/// programmatic dependent launch: what a call costs beside other kernels, and that empty one.
Row apart(Row row);

}  // namespace thermoe::bench
