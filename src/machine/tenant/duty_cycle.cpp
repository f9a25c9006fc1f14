// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/duty_cycle.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

using Kind = TenantWork::Kind;

// Sums of tenths that should be a whole number of units are.
constexpr double kSlack = 1e-9;

}  // namespace

DutyCycle::DutyCycle(const DutyCycleOptions& options, Seconds now) : options_(options), due_(now) {
  const DutyCycleOptions& o = options_;
  THERMOE_EXPECT(o.duty > 0.0 && o.duty <= 1.0, "duty={} is not in (0, 1]", o.duty);
  THERMOE_EXPECT(o.products_share >= 0.0 && o.products_share <= 1.0,
                 "products_share={} is not in [0, 1]", o.products_share);
  THERMOE_EXPECT(o.period > Seconds(0), "period={} s must be > 0", o.period.value);
  Seconds longest{};  // unit of the kinds that it has
  if (o.products_share > 0.0) longest = o.products_unit;
  if (o.products_share < 1.0) longest = std::max(longest, o.copies_unit);
  for (const Seconds unit : {o.products_unit, o.copies_unit}) {
    THERMOE_EXPECT(unit > Seconds(0), "a unit of {} s must be > 0", unit.value);
  }
  THERMOE_EXPECT(longest <= o.longest_burst, "a unit of {} s is longer than a burst may be, {} s",
                 longest.value, o.longest_burst.value);
  // What whole units leave over is a unit at most: with it a burst is as long as one may be. Units
  // beyond half of that run one a burst.
  const Seconds room = std::max(o.longest_burst - longest, 0.5 * longest);
  const double bursts = std::ceil(o.duty * o.period / room - kSlack);
  interval_ = o.period / bursts;
  budget_ = o.duty * interval_;
  due_ -= interval_;
}

Seconds DutyCycle::unit(Kind kind) const {
  return kind == Kind::kProducts ? options_.products_unit : options_.copies_unit;
}

DutyCycle::Burst DutyCycle::next(Seconds now) {
  Burst burst{.units = 0};
  while (burst.units == 0) {
    due_ += interval_;
    products_owed_ += options_.products_share;
    burst.kind = products_owed_ >= 0.5 - kSlack ? Kind::kProducts : Kind::kCopies;
    if (burst.kind == Kind::kProducts) products_owed_ -= 1.0;
    Seconds& owed = owed_[static_cast<int>(burst.kind)];
    owed += budget_;
    burst.units = static_cast<int>(owed / unit(burst.kind) + kSlack);
    owed -= static_cast<double>(burst.units) * unit(burst.kind);
  }
  if (now - due_ > options_.period) {
    dropped_ += static_cast<int>((now - due_) / interval_ + kSlack);
    due_ = now;
  }
  burst.at = due_;
  return burst;
}

}  // namespace thermoe
