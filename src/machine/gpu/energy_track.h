// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.h"
#include "core/units.h"

namespace thermoe {

/// A GPU's energy counter between and beyond the moments at which it was seen to change, some ten
/// times a second: linear between two changes, continued with the last slope for a second at most.
/// Times are those of the monitor that stamped the readings. One thread's.
class EnergyTrack {
 public:
  /// What a monitor read, in the order of time. No counter in it, or one that stands: no change.
  void add(const GpuReading& gpu);
  /// Joules counted by `t`. Absent before the first change seen, beyond the last one's second, and
  /// where the counter never changed twice: the first reading of all is not when it came to be.
  std::optional<Joules> at(Seconds t) const;
  /// Joules from `from` to `to`, >= 0: from where the call before ended, if it ended at `from`, so
  /// that what all calls say adds up to the counter, and what a guess had too much or too little is
  /// in the call after. Absent where the counter began anew between. Forgets what was before `to`.
  std::optional<Joules> used(Seconds from, Seconds to);
  /// Why the last `used` said nothing; empty where it said something.
  const std::string& problem() const { return problem_; }

 private:
  struct Point {
    Seconds at{};
    Joules counted{};
  };
  void begin_anew();
  Watts last_slope() const;
  std::string why_absent(Seconds to) const;

  std::optional<Joules> last_{};  // read
  std::uint64_t gaps_ = 0;
  bool began_anew_ = false;       // since the last `used`
  std::vector<Point> points_{};   // where it changed
  std::optional<Point> given_{};  // end of the last `used`
  std::string problem_{};
};

}  // namespace thermoe
