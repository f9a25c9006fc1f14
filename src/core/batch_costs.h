// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "core/serving.h"
#include "core/step_cost.h"

namespace thermoe {

/// What a step costs by how many rows it runs, padding included: the controller's StepCost at each
/// number of rows that an engine's steps have.
class BatchCosts {
 public:
  struct Point {
    int rows = 1;
    StepCost costs{};
  };

  /// Requires at least one point, rows strictly ascending from >= 1.
  explicit BatchCosts(std::vector<Point> points);

  /// Of the least known number of rows that is not below `rows`; beyond the last, of the last.
  const StepCost& at(int rows) const;

  const std::vector<Point>& points() const { return points_; }

  /// The same rows at other costs: `change` makes a StepCost of each (a perturbation).
  template <class Change>
  BatchCosts changed(const Change& change) const {
    std::vector<Point> points;
    points.reserve(points_.size());
    for (const Point& p : points_) points.push_back({p.rows, change(p.costs)});
    return BatchCosts(std::move(points));
  }

 private:
  std::vector<Point> points_;
};

/// At which rows an engine's steps are worth knowing: those of its graphs that its batches run in,
/// and from the largest of them (or without any) powers of two up to its batch limit.
std::vector<int> rows_to_cost(const ServingEngine& engine);

}  // namespace thermoe
