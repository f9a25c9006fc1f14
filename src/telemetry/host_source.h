// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"
#include "telemetry/source.h"

namespace thermoe {

class HwmonSensors;
class RaplDomains;

/// Where the kernel shows the host's sensors.
struct HostPaths {
  std::string powercap = "/sys/class/powercap";
  std::string hwmon = "/sys/class/hwmon";
};

/// A sensor of the host that is there and cannot be read.
struct HostProblem {
  std::string sensor{};  ///< as the reading would be called: "RAPL package-0"
  std::string path{};    ///< the file
  std::string reason{};  ///< the system's words: "Permission denied"
  std::string remedy{};  ///< what would make it readable; empty where nothing is known
  bool permission = false;

  /// "RAPL package-0 (/sys/.../energy_uj): Permission denied"
  std::string words() const;
};

/// Power, energy and temperature of the host: RAPL domains (CPU package, cores, DRAM, whole
/// platform) and hwmon chips. Fills Snapshot.host, a reading a sensor, in a stable order; a sensor
/// that vanishes keeps its place with absent values, and one that appears later joins.
///
/// RAPL power is the mean between two polls: absent in the first. One wrap-around of the counter
/// between two polls is undone; several cannot be told from one (a package at 200 W wraps about
/// every 20 minutes, so polls a minute apart are safe). A counter that began anew gives neither
/// power nor energy in that poll, and `HostReading::energy_gaps` grows (rapl_domains.h). Domains
/// without a counter range or unreadable ones (root only since Linux 5.10) are absent; `problems`
/// says why.
class HostSource final : public Source {
 public:
  /// Touches no file before the first read().
  explicit HostSource(HostPaths paths);
  ~HostSource() override;
  HostSource(const HostSource&) = delete;
  HostSource& operator=(const HostSource&) = delete;

  std::string_view name() const override { return "host"; }

  /// What the last read() found and could not read, also when it threw. For the thread that calls
  /// read(); others find the same as sentences in Snapshot.problems.
  const std::vector<HostProblem>& problems() const { return problems_; }

 private:
  /// Throws TelemetryError, naming what was looked for and the remedy, if no sensor can be read.
  Snapshot poll(Seconds now) override;

  const HostPaths paths_;
  std::unique_ptr<RaplDomains> rapl_;
  std::unique_ptr<HwmonSensors> hwmon_;
  std::optional<Seconds> discovered_at_{};
  std::vector<HostProblem> problems_{};
};

}  // namespace thermoe
