// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "measure/measure_request.h"
#include "measure/output_number.h"
#include "measure/run_measurement.h"

namespace thermoe {

/// Counts the units of work of one window after another.
class UnitMeter {
 public:
  /// Throws UsageError for a bad regular expression.
  explicit UnitMeter(UnitsChoice choice);

  /// At the window's begin: reads the counter, if it is one. Why that failed; empty if it did not.
  std::string begin();
  /// At the window's end; absent if nothing is to be counted.
  std::optional<UnitCount> end();
  /// What looks at the command's output; null where nothing is to be found there.
  OutputNumber* output() { return output_ ? &*output_ : nullptr; }

 private:
  UnitCount counter_growth();

  UnitsChoice choice_;
  std::optional<OutputNumber> output_{};
  CounterValue before_{};
};

}  // namespace thermoe
