// SPDX-License-Identifier: Apache-2.0
// What each of NVML's calls costs on GPU 0 of this machine, and a whole poll. Without NVML or a GPU
// every benchmark says so and is skipped.
#include <benchmark/benchmark.h>

#include <array>
#include <string>

#include "core/clock.h"
#include "core/errors.h"
#include "telemetry/nvml_session.h"
#include "telemetry/nvml_source.h"

namespace thermoe {
namespace {

/// NVML with the handle of GPU 0.
struct FirstGpu {
  NvmlSession session{NvmlOptions{}.library};
  nvml::Device device{};
  std::string problem{};  // empty: ready

  FirstGpu() {
    if (session.fault()) {
      problem = session.fault()->sentence();
      return;
    }
    const nvml::Result result = session.functions().device_by_index(0, &device);
    if (result != nvml::kSuccess) problem = session.words(result);
  }
};

/// Times `call(functions, device)`; `function` is what it needs.
template <class Function, class Call>
void time_call(benchmark::State& state, Function nvml::Functions::*function, Call call) {
  const FirstGpu gpu;
  if (!gpu.problem.empty()) return state.SkipWithError(gpu.problem.c_str());
  const Function f = gpu.session.functions().*function;
  if (f == nullptr) return state.SkipWithError("this driver lacks the function");
  for (auto _ : state) {
    const nvml::Result result = call(f, gpu.device);
    if (result != nvml::kSuccess) {
      return state.SkipWithError(gpu.session.words(result).c_str());
    }
  }
}

void NvmlTemperature(benchmark::State& state) {
  unsigned celsius = 0;
  time_call(state, &nvml::Functions::temperature,
            [&](auto f, auto device) { return f(device, nvml::kTemperatureGpu, &celsius); });
}
void NvmlPowerUsage(benchmark::State& state) {
  unsigned milliwatts = 0;
  time_call(state, &nvml::Functions::power_usage,
            [&](auto f, auto device) { return f(device, &milliwatts); });
}
void NvmlPowerLimit(benchmark::State& state) {
  unsigned milliwatts = 0;
  time_call(state, &nvml::Functions::power_limit,
            [&](auto f, auto device) { return f(device, &milliwatts); });
}
void NvmlEnergy(benchmark::State& state) {
  unsigned long long millijoules = 0;
  time_call(state, &nvml::Functions::energy,
            [&](auto f, auto device) { return f(device, &millijoules); });
}
void NvmlUtilisation(benchmark::State& state) {
  nvml::Utilisation utilisation{};
  time_call(state, &nvml::Functions::utilisation,
            [&](auto f, auto device) { return f(device, &utilisation); });
}
void NvmlSmClock(benchmark::State& state) {
  unsigned megahertz = 0;
  time_call(state, &nvml::Functions::clock,
            [&](auto f, auto device) { return f(device, nvml::kClockSm, &megahertz); });
}
void NvmlMemoryClock(benchmark::State& state) {
  unsigned megahertz = 0;
  time_call(state, &nvml::Functions::clock,
            [&](auto f, auto device) { return f(device, nvml::kClockMemory, &megahertz); });
}
void NvmlClockEventReasons(benchmark::State& state) {
  unsigned long long reasons = 0;
  time_call(state, &nvml::Functions::clock_event_reasons,
            [&](auto f, auto device) { return f(device, &reasons); });
}

/// Some fields in one call of nvmlDeviceGetFieldValues.
template <std::size_t n>
void fields(benchmark::State& state, const std::array<unsigned, n>& ids) {
  time_call(state, &nvml::Functions::field_values, [&](auto f, auto device) {
    std::array<nvml::FieldValue, n> values{};
    for (std::size_t i = 0; i < n; ++i) values[i].field = ids[i];
    const nvml::Result all = f(device, static_cast<int>(n), values.data());
    for (const nvml::FieldValue& value : values) {
      if (all == nvml::kSuccess && value.result != nvml::kSuccess) return value.result;
    }
    return all;
  });
}
void NvmlFieldPowerInstant(benchmark::State& state) {
  fields(state, std::array{nvml::kFieldPowerInstant});
}
void NvmlFieldPowerAverage(benchmark::State& state) {
  fields(state, std::array{nvml::kFieldPowerAverage});
}
void NvmlFieldMemoryTemperature(benchmark::State& state) {
  fields(state, std::array{nvml::kFieldMemoryTemperature});
}
void NvmlFieldsOfAPoll(benchmark::State& state) {
  fields(state, std::array{nvml::kFieldPowerAverage, nvml::kFieldPowerInstant,
                           nvml::kFieldMemoryTemperature});
}

/// A whole poll of NvmlSource, all GPUs.
void poll(benchmark::State& state, bool with_energy) {
  const SteadyClock clock;
  NvmlSource source({.energy_period = Seconds(1e9)});
  try {
    state.counters["gpus"] = static_cast<double>(source.read(clock.now()).gpus.size());
    for (auto _ : state) {
      if (with_energy) source.request_energy();
      benchmark::DoNotOptimize(source.read(clock.now()));
    }
  } catch (const TelemetryError& e) {  // this program's main is the benchmark library's
    state.SkipWithError(e.what());
  }
}
void NvmlPoll(benchmark::State& state) { poll(state, false); }
void NvmlPollWithEnergy(benchmark::State& state) { poll(state, true); }

void NvmlConnect(benchmark::State& state) {
  for (auto _ : state) {
    const FirstGpu gpu;
    if (!gpu.problem.empty()) return state.SkipWithError(gpu.problem.c_str());
  }
}

// Wall time: what a poll waits for is the driver, not this process.
BENCHMARK(NvmlTemperature)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlPowerUsage)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlPowerLimit)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlEnergy)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlUtilisation)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlSmClock)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlMemoryClock)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlClockEventReasons)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlFieldPowerInstant)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlFieldPowerAverage)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlFieldMemoryTemperature)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlFieldsOfAPoll)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlPoll)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlPollWithEnergy)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(NvmlConnect)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace thermoe
