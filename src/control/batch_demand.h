// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "control/controller_config.h"
#include "control/demand.h"
#include "control/low_pass.h"

namespace thermoe {

/// What BASELINE asks of the hardware at other numbers of rows than those that ran: the distinct
/// experts of a batch by how often each was picked of late. Rows of one step pick more alike than
/// rows of many do; by how much, the distinct experts of the steps seen tell (theory.md eq. (45)).
class BatchDemand {
 public:
  /// Starts with the config's calibration samples. Requires config.engine.
  explicit BatchDemand(const ControllerConfig& config);

  /// The picks of a sampled step under BASELINE, `dt` after the last.
  void learn(const RoutingStats& plain, Seconds dt);
  /// Before the first step nothing is known.
  bool empty() const { return tokens_ <= 0.0; }

  /// Mean distinct experts of a layer. rows >= 1; what is beyond the engine's batches is taken as
  /// their largest.
  double active(int rows) const;
  /// Of a step of so many rows at their costs.
  Demand at(int rows, const StepCost& costs) const;

 private:
  struct Seen {
    int rows = 0;
    double distinct = 0.0;  ///< over all layers
  };

  void tabulate();
  void learn_alikeness();
  /// How often no row of a step picks each expert where rows are as alike as so, row by row;
  /// `each(rows, idle)` is told.
  template <class Each>
  void idle_by_rows(double alike, std::size_t most, const Each& each) const;
  double distinct_of_seen(double alike) const;
  double distinct(std::size_t variant, int rows) const;

  int layers_, k_;
  std::size_t variants_, most_;
  std::vector<std::uint8_t> variant_;
  double tokens_ = 0.0;          ///< that taught the frequencies, the older the less
  std::vector<float> picks_;     ///< [layers, experts] of these tokens
  std::vector<float> often_{};   ///< [layers, experts] share of rows that pick it
  std::vector<double> share_{};  ///< [variants] of all picks
  std::vector<double> table_{};  ///< [variants, most + 1] distinct experts over all layers
  std::vector<Seen> seen_{};     ///< since the table was made
  LowPass log_alike_{Seconds(5.0)};
  Seconds since_table_{};
};

}  // namespace thermoe
