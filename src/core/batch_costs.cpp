// SPDX-License-Identifier: Apache-2.0
#include "core/batch_costs.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

BatchCosts::BatchCosts(std::vector<Point> points) : points_(std::move(points)) {
  THERMOE_EXPECT(!points_.empty() && points_.front().rows >= 1,
                 "{} numbers of rows: give at least one, from 1 on", points_.size());
  for (std::size_t i = 1; i < points_.size(); ++i) {
    THERMOE_EXPECT(points_[i - 1].rows < points_[i].rows, "rows {} after {}: let them ascend",
                   points_[i].rows, points_[i - 1].rows);
  }
}

const StepCost& BatchCosts::at(int rows) const {
  const auto point =
      std::lower_bound(points_.begin(), points_.end(), rows,
                       [](const Point& known, int wanted) { return known.rows < wanted; });
  return (point == points_.end() ? points_.back() : *point).costs;
}

std::vector<int> rows_to_cost(const ServingEngine& engine) {
  const int most = engine.rows(engine.batch_limit);
  std::vector<int> rows;
  for (const int size : engine.graph_sizes) {
    if (size <= most) rows.push_back(size);
  }
  for (int more = rows.empty() ? 1 : 2 * rows.back(); more < most; more *= 2) rows.push_back(more);
  if (rows.empty() || rows.back() < most) rows.push_back(most);
  return rows;
}

}  // namespace thermoe
