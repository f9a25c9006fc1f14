// SPDX-License-Identifier: Apache-2.0
#include "profile/nsys_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "profile/recorded_samples.h"

namespace thermoe {
namespace {

constexpr const char* kMetrics = "GPU_METRICS";
constexpr const char* kMetricNames = "TARGET_INFO_GPU_METRICS";
constexpr const char* kCudaDevices = "TARGET_INFO_CUDA_DEVICE";
constexpr const char* kGpus = "TARGET_INFO_GPU";
constexpr const char* kSessionStart = "TARGET_INFO_SESSION_START_TIME";

/// A metric's number means something together with its type's only.
using MetricId = std::pair<std::int64_t, std::int64_t>;  // typeId, metricId

/// How a metric is read: its series, and what its unit is in W or C.
struct Meaning {
  SampleSeries GpuSamples::*series = nullptr;
  double scale = 1.0;
};

std::string lower(std::string_view text) {
  std::string low;
  for (const char c : text) {
    low += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return low;
}

/// The last word of "GPU Power [W]", "Power (mW)" or "power_w", in lower case.
std::string unit_in(const std::string& name) {
  const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const auto last = std::find_if(name.rbegin(), name.rend(), is_letter);
  const auto before = std::find_if_not(last, name.rend(), is_letter);
  return lower(std::string(before.base(), last.base()));
}

/// Of the GPU itself: not of its memory, and no limit that it must keep.
bool is_of_the_gpu(const std::string& name) {
  constexpr std::string_view kOthers[] = {"limit", "cap",       "target",   "threshold", "max",
                                          "mem",   "shut",      "slowdown", "hbm",       "budget",
                                          "min",   "violation", "host",     "cpu"};
  return std::ranges::none_of(
      kOthers, [&](std::string_view other) { return name.find(other) != std::string::npos; });
}

bool is_power(const std::string& name) { return name.find("power") != std::string::npos; }
bool is_temperature(const std::string& name) { return name.find("temp") != std::string::npos; }

std::optional<Meaning> meaning_of(const std::string& name) {
  const std::string unit = unit_in(name);
  if (is_power(name)) {
    for (const auto& [known, scale] :
         {std::pair("w", 1.0), {"watt", 1.0}, {"watts", 1.0}, {"mw", 1e-3}, {"uw", 1e-6}}) {
      if (unit == known) return Meaning{.series = &GpuSamples::power, .scale = scale};
    }
  }
  if (is_temperature(name)) {
    for (const char* known : {"c",
                              "\xC2\xB0"
                              "c",
                              "degc", "celsius"}) {
      if (unit == known) return Meaning{.series = &GpuSamples::temperature};
    }
  }
  return std::nullopt;
}

/// The low byte of a metric's type is its GPU.
std::int64_t gpu_of(const MetricId& metric) { return metric.first & 0xFF; }

/// Metrics that are power or temperature; of several of a GPU that of the lowest number.
std::map<MetricId, Meaning> find_metrics(const SqliteFile& file,
                                         std::vector<std::string>& missing) {
  std::map<MetricId, std::string> names;
  SqliteRows row = file.rows(kMetricNames, {{"typeId"}, {"metricId"}, {"metricName"}});
  while (row.next()) {
    names.try_emplace({row.integer(0), row.integer(1)}, row.text(2).value_or(""));
  }
  std::map<MetricId, Meaning> found;
  std::set<std::pair<std::int64_t, bool>> taken;  // GPU, power
  for (const auto& [id, text] : names) {
    const std::string name = lower(text);
    if (!(is_power(name) || is_temperature(name)) || !is_of_the_gpu(name)) continue;
    const auto meaning = meaning_of(name);
    if (!meaning) {
      missing.push_back(
          fmt::format("{}.metricName \"{}\": says no unit (W, mW, C)", kMetricNames, text));
    } else if (taken.emplace(gpu_of(id), is_power(name)).second) {
      found[id] = *meaning;
    }
  }
  return found;
}

/// The CUDA device of each of nsys's GPUs, where all processes agree.
std::map<std::int64_t, std::int64_t> cuda_devices(const SqliteFile& file) {
  std::map<std::int64_t, std::set<std::int64_t>> cuda_of, gpu_of;
  SqliteRows row = file.rows(kCudaDevices, {{"gpuId"}, {"cudaId"}});
  while (row.next()) {
    cuda_of[row.integer(0)].insert(row.integer(1));
    gpu_of[row.integer(1)].insert(row.integer(0));
  }
  std::map<std::int64_t, std::int64_t> agreed;
  for (const auto& [gpu, cuda] : cuda_of) {
    if (cuda.size() == 1 && gpu_of[*cuda.begin()].size() == 1) agreed[gpu] = *cuda.begin();
  }
  return agreed;
}

bool has_several_gpus(const SqliteFile& file) {
  if (!file.has_table(kGpus)) return false;
  SqliteRows row = file.rows(kGpus, {{"name", false}});
  return row.next() && row.next();
}

/// UTC of the export's time 0.
std::optional<std::int64_t> session_start(const SqliteFile& file) {
  if (!file.has_table(kSessionStart)) return std::nullopt;
  SqliteRows row = file.rows(kSessionStart, {{"utcEpochNs", false}});
  return row.next() ? row.optional_integer(0) : std::nullopt;
}

std::map<std::string, std::int64_t> gpus_by_uuid(const SqliteFile& file) {
  std::map<std::string, std::int64_t> gpus;
  if (!file.has_table(kGpus)) return gpus;
  SqliteRows row = file.rows(kGpus, {{"id"}, {"uuid", false}});
  while (row.next()) {
    const auto uuid = row.text(1);
    if (uuid && !uuid->empty()) gpus[std::string(*uuid)] = row.integer(0);
  }
  return gpus;
}

/// Samples by the kernels' number of a GPU. Without a table that translates, there is nothing to
/// confuse where the machine has one GPU.
/// `by_gpu` has nsys's numbers.
SamplesByDevice by_device(const SqliteFile& file, std::map<std::int64_t, GpuSamples> by_gpu,
                          std::vector<std::string>& missing) {
  SamplesByDevice samples;
  const bool translates = file.has_table(kCudaDevices);
  std::map<std::int64_t, std::int64_t> devices;
  if (translates) {
    devices = cuda_devices(file);
  } else if (by_gpu.size() == 1 && !has_several_gpus(file)) {
    devices[by_gpu.begin()->first] = 0;
  }
  for (auto& [gpu, of_gpu] : by_gpu) {
    const auto device = devices.find(gpu);
    if (device != devices.end()) {
      samples[device->second] = std::move(of_gpu);
    } else {
      missing.push_back(fmt::format("{}: does not say which deviceId GPU {} is{}", kCudaDevices,
                                    gpu, translates ? " to all processes" : ""));
    }
  }
  return samples;
}

}  // namespace

SamplesByDevice read_nsys_samples(const SqliteFile& file, std::vector<std::string>& missing) {
  for (const char* table : {kMetrics, kMetricNames}) {
    if (file.has_table(table)) continue;
    missing.emplace_back(table);
    return {};
  }
  const std::map<MetricId, Meaning> metrics = find_metrics(file, missing);
  if (metrics.empty()) {
    missing.push_back(fmt::format("{}: no power or temperature among them", kMetrics));
    return {};
  }
  std::map<std::int64_t, GpuSamples> by_gpu;
  SqliteRows row = file.rows(kMetrics, {{"timestamp"}, {"typeId"}, {"metricId"}, {"value"}});
  while (row.next()) {
    const MetricId id(row.integer(1), row.integer(2));
    const auto metric = metrics.find(id);
    const auto value = row.number(3);
    if (metric == metrics.end() || !value) continue;
    (by_gpu[gpu_of(id)].*metric->second.series).add(row.integer(0), *value * metric->second.scale);
  }
  for (auto& [gpu, samples] : by_gpu) {
    samples.power.finish();
    samples.temperature.finish();
  }
  return by_device(file, std::move(by_gpu), missing);
}

SamplesByDevice read_nsys_recording(const SqliteFile& file, const std::string& recording,
                                    std::vector<std::string>& missing) {
  const auto start = session_start(file);
  if (!start) {
    missing.push_back(
        fmt::format("{}.utcEpochNs: when the recording's samples were taken", kSessionStart));
    return {};
  }
  std::map<std::int64_t, RecordedGpu> recorded = read_recorded_samples(recording, *start);
  if (recorded.size() == 1 && !has_several_gpus(file)) {
    return {{0, std::move(recorded.begin()->second.samples)}};
  }
  const std::map<std::string, std::int64_t> gpus = gpus_by_uuid(file);
  std::map<std::int64_t, GpuSamples> by_gpu;
  for (auto& [index, gpu] : recorded) {
    const auto found = gpus.find(gpu.uuid);
    if (found != gpus.end()) {
      by_gpu[found->second] = std::move(gpu.samples);
    } else {
      missing.push_back(
          fmt::format("{}.uuid: does not say which GPU is {} of the recording", kGpus, index));
    }
  }
  return by_device(file, std::move(by_gpu), missing);
}

}  // namespace thermoe
