// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "control/controller_config.h"
#include "control/demand.h"
#include "control/low_pass.h"

namespace thermoe {

/// What BASELINE asks of the hardware at other numbers of rows than those that ran: the distinct
/// experts of a batch by how often each was picked of late, as if rows picked on their own
/// (theory.md eq. (45)). That rows of a step pick more alike, and that frequencies are known from
/// few steps, is made up for by one number, which the steps seen teach.
class BatchDemand {
 public:
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
  /// Distinct experts of `variant` over all layers in `rows` rows on their own.
  double distinct(std::size_t variant, double rows) const;
  double distinct(double rows) const;
  /// As how many rows on their own so many pick.
  double alone(double rows) const;
  void learn_likeness(const RoutingStats& plain, Seconds dt);
  void tabulate();

  int layers_, k_;
  std::size_t variants_, most_;
  std::vector<std::uint8_t> variant_;
  double tokens_ = 0.0;             ///< that taught the frequencies, the older the less
  std::vector<float> picks_;        ///< [layers, experts] of these tokens
  std::vector<double> share_{};     ///< [variants] of all picks
  std::vector<double> distinct_{};  ///< [variants, most + 1]
  LowPass likeness_{Seconds(5.0), 1.0};
  Seconds since_table_{};
};

}  // namespace thermoe
