// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.h"
#include "core/units.h"
#include "telemetry/host_source.h"

namespace thermoe {

/// A RAPL energy counter made into joules since the first read and watts between two reads.
///
/// Undoes one wrap-around at `range`. A counter that fell has wrapped only if it was so near its
/// end, and stands so low now, that a domain could draw the joules between in the time that passed
/// (1 kW; the largest packages are made for half of that). Otherwise it began anew (driver reload,
/// resume): that step is a gap in the total, as is time in which it could not be read, in which a
/// domain could have wrapped it more than once, or in which it rose as nothing draws (10 kW).
class RaplCounter {
 public:
  /// `range`: the largest value of the counter, max_energy_range_uj; > 0.
  explicit RaplCounter(long long range_uj) : range_uj_(range_uj) {}

  /// The counter says `energy_uj` at `now`.
  void add(long long energy_uj, Seconds now);
  /// It could not be read: what it counts until the next read is not seen.
  void interrupt();

  /// Joules seen so far; absent at a read that ends a gap.
  std::optional<Joules> energy() const;
  /// Gaps in `energy` so far.
  std::uint64_t gaps() const { return gaps_; }
  /// Absent before two reads in a row, and at a read that ends a gap.
  std::optional<Watts> power() const { return power_; }

 private:
  std::optional<Joules> used_since_last(long long energy_uj, Seconds passed) const;

  long long range_uj_;
  std::optional<long long> last_uj_{};
  Seconds last_at_{};
  Joules energy_{};
  std::uint64_t gaps_ = 0;
  bool ends_gap_ = false;
  std::optional<Watts> power_{};
};

/// The domains under powercap that RAPL's driver shows: intel-rapl:0 (a package), intel-rapl:0:1 (a
/// part of it), on AMD as on Intel.
class RaplDomains {
 public:
  explicit RaplDomains(std::string powercap) : powercap_(std::move(powercap)) {}

  /// Looks for domains not known yet.
  void discover();
  /// Appends a reading a domain.
  void read(Seconds now, std::vector<HostReading>& readings, std::vector<HostProblem>& problems);

 private:
  struct Domain {
    std::string folder{};
    std::string name{};
    std::optional<RaplCounter> counter{};  // once its range is known
  };

  void read_domain(Domain& domain, Seconds now, HostReading& reading,
                   std::vector<HostProblem>& problems);

  std::string powercap_;
  std::vector<Domain> domains_;
};

}  // namespace thermoe
