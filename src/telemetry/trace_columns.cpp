// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_columns.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <system_error>

namespace thermoe {
namespace {

// Wide: what no GPU, host, rack or driver of today can say and be right, not what is usual.
constexpr PossibleRange kWatts{0, 1e5};
constexpr PossibleRange kJoules{0, 1e15};
constexpr PossibleRange kMegahertz{0, 1e5};
constexpr PossibleRange kCelsius{-100.0, 300.0};
constexpr PossibleRange kPercent{0, 100};
constexpr PossibleRange kBits{0, 18446744073709551615.0};

template <class R, auto member>
void reject(R& reading) {
  (reading.*member).value.reset();
  (reading.*member).rejected = true;
}

/// How a member that is a quantity meets its column.
template <class R, auto member>
constexpr TraceColumn<R> quantity(std::string_view name, PossibleRange range) {
  return {name,
          range,
          false,
          [](R& reading, const TraceNumber& number) {
            auto& value = (reading.*member).value;
            value = typename std::remove_reference_t<decltype(value)>::value_type(
                std::get<double>(number));
          },
          [](const R& reading) -> std::optional<TraceNumber> {
            const auto& value = (reading.*member).value;
            return value ? std::optional<TraceNumber>(value->value) : std::nullopt;
          },
          reject<R, member>};
}

template <auto member>
constexpr TraceColumn<GpuReading> percent(std::string_view name) {
  return {name,
          kPercent,
          false,
          [](GpuReading& gpu, const TraceNumber& number) {
            (gpu.*member).value = std::get<double>(number) / 100.0;
          },
          [](const GpuReading& gpu) -> std::optional<TraceNumber> {
            const std::optional<double>& share = (gpu.*member).value;
            return share ? std::optional<TraceNumber>(100.0 * *share) : std::nullopt;
          },
          reject<GpuReading, member>};
}

constexpr TraceColumn<GpuReading> throttle_reasons() {
  return {"throttle_reasons",
          kBits,
          true,
          [](GpuReading& gpu, const TraceNumber& number) {
            gpu.throttle_reasons.value = std::get<std::uint64_t>(number);
          },
          [](const GpuReading& gpu) -> std::optional<TraceNumber> {
            const auto& bits = gpu.throttle_reasons.value;
            return bits ? std::optional<TraceNumber>(*bits) : std::nullopt;
          },
          reject<GpuReading, &GpuReading::throttle_reasons>};
}

/// Beside an energy only: without one there is nothing that could have a gap.
template <class R>
constexpr TraceColumn<R> gaps(std::string_view name) {
  return {name,
          kBits,
          true,
          [](R& reading, const TraceNumber& number) {
            reading.energy_gaps = std::get<std::uint64_t>(number);
          },
          [](const R& reading) -> std::optional<TraceNumber> {
            return reading.energy.value ? std::optional<TraceNumber>(reading.energy_gaps)
                                        : std::nullopt;
          },
          [](R&) {}};
}

using G = GpuReading;
using H = HostReading;

constexpr TraceColumn<G> kGpu[] = {
    quantity<G, &G::power_average>("power_w", kWatts),
    quantity<G, &G::power_instant>("power_instant_w", kWatts),
    quantity<G, &G::power_limit>("power_limit_w", kWatts),
    quantity<G, &G::temperature>("temp_gpu_c", kCelsius),
    quantity<G, &G::memory_temperature>("temp_mem_c", kCelsius),
    quantity<G, &G::energy>("energy_j", kJoules),
    percent<&G::gpu_utilisation>("util_gpu_pct"),
    percent<&G::memory_utilisation>("util_mem_pct"),
    quantity<G, &G::sm_clock>("sm_clock_mhz", kMegahertz),
    quantity<G, &G::memory_clock>("memory_clock_mhz", kMegahertz),
    throttle_reasons(),
    gaps<G>("energy_gaps"),
};

constexpr TraceColumn<H> kHost[] = {
    quantity<H, &H::power>("host_power_w", kWatts),
    quantity<H, &H::energy>("host_energy_j", kJoules),
    quantity<H, &H::temperature>("host_temp_c", kCelsius),
    gaps<H>("host_energy_gaps"),
};

}  // namespace

std::string to_text(const TraceNumber& number) {
  if (const auto* whole = std::get_if<std::uint64_t>(&number)) return fmt::format("{}", *whole);
  return fmt::format("{:.15g}", std::get<double>(number));
}

double as_double(const TraceNumber& number) {
  return std::visit([](auto value) { return static_cast<double>(value); }, number);
}

ParsedNumber parse_number(std::string_view cell, bool whole) {
  const char* end = cell.data() + cell.size();
  if (whole) {
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(cell.data(), end, value);
    if (error == std::errc() && stop == end) return {.number = value};
    return {.problem = fmt::format("'{}' is not a whole number", cell.substr(0, 40))};
  }
  double value = 0.0;
  const auto [stop, error] = std::from_chars(cell.data(), end, value);
  if (error == std::errc() && stop == end && std::isfinite(value)) return {.number = value};
  return {.problem = fmt::format("'{}' is not a finite number (leave the cell empty if the sensor "
                                 "was silent)",
                                 cell.substr(0, 40))};
}

std::span<const TraceColumn<GpuReading>> gpu_trace_columns() { return kGpu; }
std::span<const TraceColumn<HostReading>> host_trace_columns() { return kHost; }

}  // namespace thermoe
