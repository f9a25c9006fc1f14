// SPDX-License-Identifier: Apache-2.0
#include "machine/faulty_source.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

void spoil(double& value) { value = std::numeric_limits<double>::quiet_NaN(); }
void spoil(std::uint64_t&) {}  // integers have no NaN
template <class Tag>
void spoil(Quantity<Tag>& quantity) {
  spoil(quantity.value);
}

template <class F>
void for_each_reading_of(Snapshot& snapshot, F&& f) {
  for (GpuReading& gpu : snapshot.gpus) {
    for_each_reading(gpu, gpu, [&](auto& reading, auto&) { f(reading); });
  }
  for (HostReading& host : snapshot.host) {
    for_each_host_reading(host, host, [&](auto& reading, auto&) { f(reading); });
  }
}

}  // namespace

FaultySource::FaultySource(std::unique_ptr<Source> source, std::vector<SensorFault> faults)
    : source_(std::move(source)), faults_(std::move(faults)) {
  THERMOE_EXPECT(source_ != nullptr, "FaultySource needs a source");
  for (const SensorFault& fault : faults_) {
    THERMOE_EXPECT(fault.from < fault.to,
                   "sensor fault from {} s to {} s: must end after it begins", fault.from.value,
                   fault.to.value);
  }
}

bool FaultySource::active(SensorFault::Kind kind, Seconds now) const {
  return std::ranges::any_of(faults_, [&](const SensorFault& fault) {
    return fault.kind == kind && fault.from <= now && now < fault.to;
  });
}

Snapshot FaultySource::poll(Seconds now) {
  if (!last_ || !active(SensorFault::Kind::kFreeze, now)) last_ = source_->read(now);
  Snapshot snapshot = *last_;
  if (active(SensorFault::Kind::kDropout, now)) {
    for_each_reading_of(snapshot, [](auto& reading) { reading.value.reset(); });
  }
  if (active(SensorFault::Kind::kNan, now)) {
    for_each_reading_of(snapshot, [](auto& reading) {
      if (reading.value) spoil(*reading.value);
    });
  }
  return snapshot;
}

}  // namespace thermoe
