// SPDX-License-Identifier: Apache-2.0
#include "metrics/hardware_metrics.h"

#include <fmt/format.h>

#include <utility>

namespace thermoe {
namespace {

constexpr double kHertz = 1e6;  // a megahertz

double plain(double value) { return value; }
double plain(std::uint64_t bits) { return static_cast<double>(bits); }
double plain(Megahertz clock) { return clock.value * kHertz; }
template <class Tag>
double plain(Quantity<Tag> quantity) {
  return quantity.value;
}

/// Adds those readings of one device that are fresh enough.
class Readings {
 public:
  Readings(MetricsPage& page, std::vector<MetricLabel> labels, Seconds oldest)
      : page_(page), labels_(std::move(labels)), oldest_(oldest) {}

  template <class T>
  void add(Exported metric, const Reading<T>& reading) {
    if (!reading.value || reading.read_at < oldest_) return;
    page_.add(metric, labels_, plain(*reading.value));
  }

 private:
  MetricsPage& page_;
  std::vector<MetricLabel> labels_;
  Seconds oldest_;
};

/// A label with an empty value is one that is not there; so are ours.
std::vector<MetricLabel> labels(std::vector<MetricLabel> all, const HardwareContext& context,
                                bool simulated) {
  all.emplace_back("Hostname", context.hostname);
  if (simulated) all.emplace_back("simulated", "1");
  std::erase_if(all, [](const MetricLabel& label) { return label.second.empty(); });
  return all;
}

void add_gpu(Readings to, const GpuReading& gpu) {
  to.add(Exported::kGpuPower, gpu.power_average);
  to.add(Exported::kGpuPowerInstant, gpu.power_instant);
  to.add(Exported::kGpuPowerLimit, gpu.power_limit);
  to.add(Exported::kGpuEnergy, gpu.energy);
  to.add(Exported::kGpuTemperature, gpu.temperature);
  to.add(Exported::kGpuMemoryTemperature, gpu.memory_temperature);
  to.add(Exported::kGpuUtilisation, gpu.gpu_utilisation);
  to.add(Exported::kGpuMemoryUtilisation, gpu.memory_utilisation);
  to.add(Exported::kGpuSmClock, gpu.sm_clock);
  to.add(Exported::kGpuMemoryClock, gpu.memory_clock);
  to.add(Exported::kGpuThrottleReasons, gpu.throttle_reasons);
}

}  // namespace

void add_hardware(MetricsPage& page, const HardwareValues& values, const HardwareContext& context) {
  const Snapshot& snapshot = values.snapshot;
  const bool simulated = snapshot.simulated;
  page.add(Exported::kSourceUp, labels({{"source", values.source}}, context, simulated),
           context.since <= values.keep ? 1.0 : 0.0);
  // What is read at `oldest` is now `keep` old.
  const Seconds oldest = snapshot.at + context.since - values.keep;
  for (const GpuReading& gpu : snapshot.gpus) {
    add_gpu(
        {page,
         labels({{"gpu", fmt::to_string(gpu.index)}, {"UUID", gpu.uuid}, {"gpu_name", gpu.name}},
                context, simulated),
         oldest},
        gpu);
  }
  for (const HostReading& host : snapshot.host) {
    Readings to(page, labels({{"sensor", host.name}}, context, simulated), oldest);
    to.add(Exported::kHostPower, host.power);
    to.add(Exported::kHostEnergy, host.energy);
    to.add(Exported::kHostTemperature, host.temperature);
  }
}

}  // namespace thermoe
