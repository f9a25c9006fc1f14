// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_columns.h"

#include <cstdint>

namespace thermoe {
namespace {

constexpr double kMaxWatts = 1e5;
constexpr double kMaxJoules = 1e15;
constexpr double kMaxMegahertz = 1e5;
constexpr double kColdest = -100.0;
constexpr double kHottest = 300.0;
constexpr double kMaxBits = 9007199254740992.0;  // whole numbers up to here are exact as double

/// How a member that is a quantity, or a plain number times `scale`, meets its column.
template <class R, auto member>
void store_quantity(R& reading, double number) {
  auto& value = (reading.*member).value;
  value = typename std::remove_reference_t<decltype(value)>::value_type(number);
}

template <class R, auto member>
std::optional<double> quantity(const R& reading) {
  const auto& value = (reading.*member).value;
  return value ? std::optional(value->value) : std::nullopt;
}

template <auto member>
void store_percent(GpuReading& reading, double percent) {
  (reading.*member).value = percent / 100.0;
}

template <auto member>
std::optional<double> percent(const GpuReading& reading) {
  const std::optional<double>& share = (reading.*member).value;
  return share ? std::optional(100.0 * *share) : std::nullopt;
}

void store_reasons(GpuReading& reading, double bits) {
  reading.throttle_reasons.value = static_cast<std::uint64_t>(bits);
}

std::optional<double> reasons(const GpuReading& reading) {
  const auto& bits = reading.throttle_reasons.value;
  return bits ? std::optional(static_cast<double>(*bits)) : std::nullopt;
}

template <class R, auto member>
constexpr TraceColumn<R> column(std::string_view name, double low, double high) {
  return {name, low, high, false, store_quantity<R, member>, quantity<R, member>};
}

using G = GpuReading;
using H = HostReading;

constexpr TraceColumn<G> kGpu[] = {
    column<G, &G::power_average>("power_w", 0, kMaxWatts),
    column<G, &G::power_instant>("power_instant_w", 0, kMaxWatts),
    column<G, &G::power_limit>("power_limit_w", 0, kMaxWatts),
    column<G, &G::temperature>("temp_gpu_c", kColdest, kHottest),
    column<G, &G::memory_temperature>("temp_mem_c", kColdest, kHottest),
    column<G, &G::energy>("energy_j", 0, kMaxJoules),
    {"util_gpu_pct", 0, 100, false, store_percent<&G::gpu_utilisation>,
     percent<&G::gpu_utilisation>},
    {"util_mem_pct", 0, 100, false, store_percent<&G::memory_utilisation>,
     percent<&G::memory_utilisation>},
    column<G, &G::sm_clock>("sm_clock_mhz", 0, kMaxMegahertz),
    column<G, &G::memory_clock>("memory_clock_mhz", 0, kMaxMegahertz),
    {"throttle_reasons", 0, kMaxBits, true, store_reasons, reasons},
};

constexpr TraceColumn<H> kHost[] = {
    column<H, &H::power>("host_power_w", 0, kMaxWatts),
    column<H, &H::energy>("host_energy_j", 0, kMaxJoules),
    column<H, &H::temperature>("host_temp_c", kColdest, kHottest),
};

}  // namespace

std::span<const TraceColumn<GpuReading>> gpu_trace_columns() { return kGpu; }
std::span<const TraceColumn<HostReading>> host_trace_columns() { return kHost; }

}  // namespace thermoe
