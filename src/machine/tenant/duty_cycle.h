// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"
#include "machine/tenant/tenant_work.h"

namespace thermoe {

struct DutyCycleOptions {
  double duty = 0.0;            ///< share of the time that its bursts fill, (0, 1]
  double products_share = 0.5;  ///< of that time; copies fill the rest. [0, 1]
  Seconds products_unit{};      ///< how long one takes on the device when nobody else is there; > 0
  Seconds copies_unit{};        ///< likewise
  Seconds period{0.01};         ///< in which bursts of period * duty are spread evenly; > 0
  Seconds longest_burst{0.001};  ///< at least a unit
};

/// When a tenant's next burst begins and what it does. What it asks for in a period is work, in
/// units, not time: beside others on the GPU its bursts take longer, and it works no less.
class DutyCycle {
 public:
  struct Burst {
    Seconds at{};  ///< when it is due, on the clock of whoever calls
    TenantWork::Kind kind = TenantWork::Kind::kProducts;
    int units = 1;  ///< >= 1
  };

  /// The first burst is due at `now`. Throws PreconditionError for options out of range.
  DutyCycle(const DutyCycleOptions& options, Seconds now);

  /// The next burst. One that could not begin in time is due at once; a backlog of more than a
  /// period is dropped, and counted in whole bursts.
  Burst next(Seconds now);
  int dropped() const { return dropped_; }

 private:
  Seconds unit(TenantWork::Kind kind) const;

  const DutyCycleOptions options_;
  Seconds interval_{};      // between two bursts
  Seconds budget_{};        // of one, when nobody else is there
  Seconds due_{};           // of the next
  double products_owed_{};  // bursts
  Seconds owed_[2]{};       // of each kind: what whole units left over
  int dropped_ = 0;
};

}  // namespace thermoe
