// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_gpu.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace thermoe {
namespace {

constexpr double kMilli = 1e-3;

std::optional<double> number(const nvml::FieldValue& field) {
  switch (field.type) {
    case nvml::kDouble:
      return field.value.as_double;
    case nvml::kUnsignedInt:
      // NVML's "value not available" in an unsigned field
      if (field.value.as_unsigned == std::numeric_limits<unsigned>::max()) return std::nullopt;
      return field.value.as_unsigned;
    case nvml::kUnsignedLong:
      return static_cast<double>(field.value.as_unsigned_long);
    case nvml::kUnsignedLongLong:
      return static_cast<double>(field.value.as_unsigned_long_long);
    case nvml::kSignedLongLong:
      return static_cast<double>(field.value.as_long_long);
    case nvml::kSignedInt:
      return field.value.as_int;
    case nvml::kUnsignedShort:
      return field.value.as_unsigned_short;
  }
  return std::nullopt;  // a type from the future
}

/// An unsigned value of NVML times `unit`, absent if it is NVML's "not available".
template <class T, class Raw>
std::optional<T> quantity(Raw raw, double unit = 1.0) {
  if (raw == std::numeric_limits<Raw>::max()) return std::nullopt;
  return T(static_cast<double>(raw) * unit);
}

}  // namespace

NvmlGpu::NvmlGpu(const NvmlSession& session, nvml::Device device)
    : session_(session), device_(device) {
  identify();
}

void NvmlGpu::identify() {
  const nvml::Functions& f = session_.functions();
  std::array<char, nvml::kStringSize + 1> text{};  // one more: always terminated
  const nvml::Result told =
      f.uuid != nullptr ? f.uuid(device_, text.data(), nvml::kStringSize) : nvml::kFunctionNotFound;
  if (nvml::means_lost(told)) {
    lost_ = told;
    return;
  }
  if (told == nvml::kSuccess) uuid_ = text.data();
  nvml::PciInfo pci{};
  if (uuid_.empty() && f.pci_info != nullptr && f.pci_info(device_, &pci) == nvml::kSuccess) {
    uuid_ = std::string(pci.bus_id, std::find(pci.bus_id, std::end(pci.bus_id), '\0'));
  }
  text.fill('\0');
  if (f.name != nullptr && f.name(device_, text.data(), nvml::kStringSize) == nvml::kSuccess) {
    name_ = text.data();
  }
  int major = 0;
  int minor = 0;
  if (f.compute_capability != nullptr &&
      f.compute_capability(device_, &major, &minor) == nvml::kSuccess) {
    // nvml.h: "On Ampere (except GA100) or newer GPUs, the API returns power averaged over 1 sec
    // interval. On GA100 and older architectures, instantaneous power is returned."
    usage_is_average_ = major > 8 || (major == 8 && minor > 0);
  }
}

std::optional<nvml::Result> NvmlGpu::answer(NvmlQuestion question) const {
  return answers_[static_cast<std::size_t>(question)];
}

bool NvmlGpu::refused(NvmlQuestion question) const {
  const auto last = answer(question);
  return last && nvml::means_refused(*last);
}

bool NvmlGpu::note(NvmlQuestion question, nvml::Result result) {
  answers_[static_cast<std::size_t>(question)] = result;
  if (nvml::means_lost(result)) lost_ = result;
  return result == nvml::kSuccess;
}

/// True if `call(function)` succeeded. Calls nothing once refused or lost.
template <class Function, class Call>
bool NvmlGpu::ask(NvmlQuestion question, Function function, Call call) {
  if (lost_ || refused(question)) return false;
  return note(question, function != nullptr ? call(function) : nvml::kFunctionNotFound);
}

void NvmlGpu::read_fields(GpuReading& reading) {
  const auto call = session_.functions().field_values;
  struct Wanted {
    NvmlQuestion question;
    unsigned field;
  };
  std::vector<Wanted> wanted{{NvmlQuestion::kPowerAverage, nvml::kFieldPowerAverage},
                             {NvmlQuestion::kPowerInstant, nvml::kFieldPowerInstant},
                             {NvmlQuestion::kMemoryTemperature, nvml::kFieldMemoryTemperature}};
  std::erase_if(wanted, [&](const Wanted& w) { return lost_ || refused(w.question); });
  if (wanted.empty()) return;
  std::array<nvml::FieldValue, 3> fields{};
  for (std::size_t i = 0; i < wanted.size(); ++i) fields[i].field = wanted[i].field;
  const nvml::Result all = call != nullptr
                               ? call(device_, static_cast<int>(wanted.size()), fields.data())
                               : nvml::kFunctionNotFound;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!note(wanted[i].question, all == nvml::kSuccess ? fields[i].result : all)) continue;
    const std::optional<double> value = number(fields[i]);
    if (!value) continue;
    if (fields[i].field == nvml::kFieldPowerAverage) {
      reading.power_average.value = Watts(*value * kMilli);
    } else if (fields[i].field == nvml::kFieldPowerInstant) {
      reading.power_instant.value = Watts(*value * kMilli);
    } else {
      reading.memory_temperature.value = Celsius(*value);
    }
  }
}

void NvmlGpu::read_power_usage(GpuReading& reading) {
  const NvmlQuestion replaced =
      usage_is_average_.value_or(true) ? NvmlQuestion::kPowerAverage : NvmlQuestion::kPowerInstant;
  if (!usage_is_average_ || !refused(replaced)) return;
  unsigned milliwatts = 0;
  if (!ask(NvmlQuestion::kPowerUsage, session_.functions().power_usage,
           [&](auto f) { return f(device_, &milliwatts); })) {
    return;
  }
  auto& power = *usage_is_average_ ? reading.power_average : reading.power_instant;
  power.value = quantity<Watts>(milliwatts, kMilli);
}

void NvmlGpu::read_clocks(GpuReading& reading) {
  const nvml::Functions& f = session_.functions();
  unsigned megahertz = 0;
  if (ask(NvmlQuestion::kSmClock, f.clock,
          [&](auto call) { return call(device_, nvml::kClockSm, &megahertz); })) {
    reading.sm_clock.value = quantity<Megahertz>(megahertz);
  }
  if (ask(NvmlQuestion::kMemoryClock, f.clock,
          [&](auto call) { return call(device_, nvml::kClockMemory, &megahertz); })) {
    reading.memory_clock.value = quantity<Megahertz>(megahertz);
  }
  unsigned long long reasons = 0;
  if (ask(NvmlQuestion::kThrottleReasons, f.clock_event_reasons,
          [&](auto call) { return call(device_, &reasons); })) {
    reading.throttle_reasons.value = reasons;
  }
}

void NvmlGpu::read_rest(GpuReading& reading) {
  const nvml::Functions& f = session_.functions();
  unsigned celsius = 0;
  if (ask(NvmlQuestion::kTemperature, f.temperature,
          [&](auto call) { return call(device_, nvml::kTemperatureGpu, &celsius); })) {
    reading.temperature.value = quantity<Celsius>(celsius);
  }
  unsigned milliwatts = 0;
  if (ask(NvmlQuestion::kPowerLimit, f.power_limit,
          [&](auto call) { return call(device_, &milliwatts); })) {
    reading.power_limit.value = quantity<Watts>(milliwatts, kMilli);
  }
  nvml::Utilisation utilisation{};
  if (ask(NvmlQuestion::kUtilisation, f.utilisation,
          [&](auto call) { return call(device_, &utilisation); })) {
    reading.gpu_utilisation.value = utilisation.gpu / 100.0;
    reading.memory_utilisation.value = utilisation.memory / 100.0;
  }
}

GpuReading NvmlGpu::read(bool with_energy) {
  GpuReading reading{.name = name_, .uuid = uuid_};
  read_fields(reading);  // power first: what control needs most is read closest to the poll's start
  read_power_usage(reading);
  read_rest(reading);
  read_clocks(reading);
  unsigned long long millijoules = 0;
  if (with_energy && ask(NvmlQuestion::kEnergy, session_.functions().energy,
                         [&](auto call) { return call(device_, &millijoules); })) {
    reading.energy.value = quantity<Joules>(millijoules, kMilli);
  }
  if (lost_) return {.name = name_, .uuid = uuid_};  // half a reading is none
  return reading;
}

}  // namespace thermoe
