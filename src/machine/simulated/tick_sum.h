// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tick_report.h"
#include "core/units.h"

namespace thermoe {

/// What a simulated GPU did in several stretches that make a tick.
class TickSum {
 public:
  void add(const TickReport& stretch);
  /// Of the whole; step time and period are left to whoever knows the steps. Requires a stretch.
  TickReport report() const;

 private:
  TickReport last_{};
  double steps_ = 0.0;
  Seconds length_{};
  Joules energy_{};
  Seconds busy_{};
  Seconds memory_busy_{};
  double clock_seconds_ = 0.0;
  bool throttled_ = false;
};

}  // namespace thermoe
