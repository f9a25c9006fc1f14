// SPDX-License-Identifier: Apache-2.0
#include "telemetry/host_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/errors.h"
#include "telemetry/hwmon_sensors.h"
#include "telemetry/rapl_domains.h"

namespace thermoe {
namespace {

/// Between two looks for sensors that came: listing every folder costs more than reading them.
constexpr Seconds kDiscoveryPeriod{5.0};

/// A sentence each; a remedy that serves several is told once.
std::vector<std::string> sentences(const std::vector<HostProblem>& problems) {
  std::vector<std::string> all;
  std::set<std::string> told;
  for (const HostProblem& problem : problems) {
    all.push_back(problem.words());
    if (problem.remedy.empty() || !told.insert(problem.remedy).second) continue;
    all.back() += fmt::format(". Remedy: {}", problem.remedy);
  }
  return all;
}

/// A counter that began anew is silent for a poll and still there.
bool says_anything(const HostReading& reading) {
  return reading.energy_gaps > 0 || reading.power.value || reading.energy.value ||
         reading.temperature.value;
}

}  // namespace

std::string HostProblem::words() const { return fmt::format("{} ({}): {}", sensor, path, reason); }

HostSource::HostSource(HostPaths paths)
    : paths_(std::move(paths)),
      rapl_(std::make_unique<RaplDomains>(paths_.powercap)),
      hwmon_(std::make_unique<HwmonSensors>(paths_.hwmon)) {}

HostSource::~HostSource() = default;

Snapshot HostSource::poll(Seconds now) {
  if (!discovered_at_ || now - *discovered_at_ >= kDiscoveryPeriod) {
    rapl_->discover();
    hwmon_->discover();
    discovered_at_ = now;
  }
  Snapshot snapshot{.at = now};
  problems_.clear();
  rapl_->read(now, snapshot.host, problems_);
  hwmon_->read(snapshot.host, problems_);
  snapshot.problems = sentences(problems_);
  if (std::ranges::any_of(snapshot.host, says_anything)) return snapshot;
  discovered_at_.reset();  // nothing to lose: look again each time
  throw TelemetryError(
      fmt::format("no sensor of this host can be read: looked for {}/intel-rapl:*/energy_uj and "
                  "{}/hwmon*/temp*_input, power*_input. {}",
                  paths_.powercap, paths_.hwmon,
                  snapshot.problems.empty()
                      ? "There is none: load the drivers (sudo modprobe intel_rapl_msr coretemp, "
                        "or k10temp); virtual machines and containers often have none"
                      : fmt::format("{}", fmt::join(snapshot.problems, "; "))));
}

}  // namespace thermoe
