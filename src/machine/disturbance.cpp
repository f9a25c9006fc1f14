// SPDX-License-Identifier: Apache-2.0
#include "machine/disturbance.h"

#include <algorithm>

namespace thermoe {
namespace {

using Kind = Disturbance::Kind;

// Ticks are sums of 0.1 s: a disturbance from 0.3 s must not miss the tick at 0.30000000000000004
// s.
constexpr Seconds kSlack{1e-6};
// Several tenants together leave some bandwidth: the simulated GPU needs a share below 1.
constexpr double kMaxBandwidthShare = 0.95;

bool on(const Disturbance& d, Seconds now) { return now + kSlack >= d.from && now + kSlack < d.to; }

std::optional<SensorFault::Kind> fault_kind(Kind kind) {
  switch (kind) {
    case Kind::kSensorDropout:
      return SensorFault::Kind::kDropout;
    case Kind::kSensorFreeze:
      return SensorFault::Kind::kFreeze;
    case Kind::kSensorNan:
      return SensorFault::Kind::kNan;
    case Kind::kBackground:
    case Kind::kAmbient:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

GpuDisturbance disturbance_at(const std::vector<Disturbance>& disturbances, Seconds now) {
  GpuDisturbance sum;
  for (const Disturbance& d : disturbances) {
    if (!on(d, now)) continue;
    if (d.kind == Kind::kBackground) {
      sum.background_power += d.power;
      sum.bandwidth_share = std::min(kMaxBandwidthShare, sum.bandwidth_share + d.bandwidth_share);
    }
    if (d.kind == Kind::kAmbient) sum.ambient_offset += d.ambient;
  }
  return sum;
}

bool sensors_faulty_at(const std::vector<Disturbance>& disturbances, Seconds now) {
  return std::any_of(disturbances.begin(), disturbances.end(),
                     [&](const Disturbance& d) { return fault_kind(d.kind) && on(d, now); });
}

std::vector<SensorFault> sensor_faults(const std::vector<Disturbance>& disturbances) {
  std::vector<SensorFault> faults;
  for (const Disturbance& d : disturbances) {
    if (const auto kind = fault_kind(d.kind)) {
      faults.push_back({.kind = *kind, .from = d.from - kSlack, .to = d.to - kSlack});
    }
  }
  return faults;
}

std::optional<Disturbance> first_disturbance(const std::vector<Disturbance>& disturbances) {
  std::optional<Disturbance> first;
  for (const Disturbance& d : disturbances) {
    if (!fault_kind(d.kind) && (!first || d.from < first->from)) first = d;
  }
  return first;
}

}  // namespace thermoe
