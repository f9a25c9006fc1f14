// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>

#include "topk_route_oracle.h"

namespace thermoe {

/// Decisions closer than this a float32 backend may take either way.
inline constexpr double kRounding = 2e-6;

int pick(std::mt19937& random, int low, int high);

/// Normal logits that `problem.type` can hold; on a coarse grid, full of ties, if `grid`.
void fill_logits(RouteProblem& problem, std::mt19937& random, bool grid);

/// Random sizes, routers, plans, types, padding and defects; a third of the problems full of ties.
RouteProblem random_problem(std::mt19937& random);

/// Fails where any output of the backend differs from the oracle's. Tokens whose own decisions are
/// closer than rounding are left out, `skipped` of them; with prices the whole batch must not be.
void expect_matches_oracle(const KernelBackend& backend, const RouteProblem& problem,
                           int* skipped = nullptr);

}  // namespace thermoe
