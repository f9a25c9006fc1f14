// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.h"
#include "core/units.h"
#include "telemetry/host_source.h"

namespace thermoe {

/// A RAPL energy counter made into joules since the first read and watts between two reads.
/// Undoes one wrap-around at `range`.
class RaplCounter {
 public:
  /// `range`: the largest value of the counter, max_energy_range_uj; > 0.
  explicit RaplCounter(long long range_uj) : range_uj_(range_uj) {}

  /// The counter says `energy_uj` at `now`.
  void add(long long energy_uj, Seconds now);
  /// It could not be read: what it counts until the next read is not seen.
  void interrupt() { last_uj_.reset(), power_.reset(); }

  long long range_uj() const { return range_uj_; }
  Joules energy() const { return energy_; }
  /// Absent before two reads in a row, and where the step is no consumption but a counter that
  /// began anew (after a suspend): nothing draws 10 kW. Absent, too, where so much time passed that
  /// a domain of 2 kW could have wrapped the counter more than once.
  std::optional<Watts> power() const { return power_; }

 private:
  long long range_uj_;
  std::optional<long long> last_uj_{};
  Seconds last_at_{};
  Joules energy_{};
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
