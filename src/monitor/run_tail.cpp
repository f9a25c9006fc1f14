// SPDX-License-Identifier: Apache-2.0
#include "monitor/run_tail.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstLook = 1U << 20U;  // bytes of a long file read at first
constexpr Seconds kQuiet{3.0};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

void check_folder(const std::string& folder) {
  std::error_code ignored;
  const fs::path path(folder);
  if (!is_there(path)) {
    const fs::path parent = fs::absolute(path, ignored).lexically_normal().parent_path();
    if (is_there(parent)) return;
    throw UsageError(
        fmt::format("--run {}: does not exist, nor does the folder that would hold it", folder));
  }
  if (!fs::is_directory(path, ignored)) {
    throw UsageError(
        fmt::format("--run {}: is not a folder; name the one that thermoe run writes", folder));
  }
  if (fs::is_empty(path, ignored) || is_there(path / "config.json") ||
      is_there(path / "metrics.csv")) {
    return;
  }
  throw UsageError(fmt::format(
      "--run {}: holds no run (no config.json); name a folder that thermoe run made, as in "
      "runs/demo-1",
      folder));
}

/// Bytes [from, to) of the file; fewer if it has become shorter meanwhile.
std::string bytes(const std::string& path, std::uint64_t from, std::uint64_t to) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(from));
  std::string text(to - from, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, file.gcount())));
  return text;
}

template <class T>
std::optional<T> as(const std::optional<double>& number) {
  return number ? std::optional(T(*number)) : std::nullopt;
}

}  // namespace

RunTail::RunTail(std::string folder) : folder_(std::move(folder)) {
  check_folder(folder_);
  view_.folder = folder_;
}

void RunTail::update(Seconds now) {
  view_.state = RunView::State::kWaiting;
  if (!configured_) read_config();
  if (!open_metrics()) return;
  const std::string path = folder_ + "/metrics.csv";
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  if (!error && size > offset_) {
    const std::string text = bytes(path, offset_, size);
    const auto end = text.rfind('\n');
    if (end != std::string::npos) {
      std::string_view rest = std::string_view(text).substr(0, end + 1);
      offset_ += rest.size();
      changed_at_ = now;
      while (!rest.empty()) {
        const auto length = rest.find('\n');
        take_row(rest.substr(0, length));
        rest.remove_prefix(length + 1);
      }
    }
  }
  if (view_.strategy.empty()) {
    view_.waiting_for = path + "'s first row";
    return;
  }
  const bool finished = is_there(fs::path(folder_) / "summary.json");
  view_.state = finished ? RunView::State::kFinished : RunView::State::kRunning;
  if (finished) read_device();
  const Seconds quiet = now - changed_at_.value_or(now);
  view_.quiet_for = !finished && quiet > kQuiet ? std::optional(quiet) : std::nullopt;
}

void RunTail::read_config() {
  const std::string path = folder_ + "/config.json";
  if (!is_there(path)) {
    view_.waiting_for = path;
    return;
  }
  const nlohmann::json config = read_json_file(path);
  JsonObject root(config, path);
  JsonObject experiment = root.object("experiment");
  view_.experiment = experiment.string("name");
  view_.duration = as<Seconds>(experiment.optional_number("duration_s", 0.0, 1e9));
  view_.simulated = root.boolean_or("simulated", false);
  strategies_.clear();
  for (const auto& strategy : experiment.array("strategies")) {
    if (strategy.is_string()) strategies_.push_back(strategy.get<std::string>());
  }
  view_.strategies = static_cast<int>(strategies_.size());
  view_.rounds = static_cast<int>(experiment.integer_or("rounds", 1, 1, INT_MAX));
  configured_ = true;
}

void RunTail::read_device() {
  if (!gpu_ || !gpu_->reading.name.empty()) return;
  const nlohmann::json summary = read_json_file(folder_ + "/summary.json");
  JsonObject root(summary, folder_ + "/summary.json");
  gpu_->reading.name = root.string_or("device", "");
}

bool RunTail::open_metrics() {
  const std::string path = folder_ + "/metrics.csv";
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    if (configured_) view_.waiting_for = path;
    return false;
  }
  const auto size = static_cast<std::uint64_t>(file.st_size);
  if (!columns_.empty() && file.st_ino == inode_ && size >= offset_) return true;

  const std::string start = bytes(path, 0, std::min<std::uint64_t>(size, 1U << 16U));
  const auto end = start.find('\n');
  if (end == std::string::npos) {
    view_.waiting_for = path + "'s first line";
    return false;
  }
  const bool replaced = !columns_.empty();
  if (replaced) {
    view_ = RunView{.folder = folder_};
    gpu_.reset();
    read_config();
  }
  take_header(std::string_view(start).substr(0, end));
  inode_ = file.st_ino;
  offset_ = end + 1;
  if (size > offset_ + kFirstLook) {
    offset_ = size - kFirstLook;
    const auto line = bytes(path, offset_, size).find('\n');
    offset_ = line == std::string::npos ? end + 1 : offset_ + line + 1;
  }
  return true;
}

void RunTail::take_header(std::string_view line) {
  columns_.clear();
  if (cells_.split(without_byte_order_mark(line)).empty()) {
    for (std::size_t i = 0; i < cells_.size(); ++i) columns_.emplace(cells_[i], i);
  }
  for (const Metric metric : {Metric::kStrategy, Metric::kTime}) {
    const std::string_view needed = column_name(metric);
    if (!columns_.contains(needed)) {
      columns_.clear();
      throw FormatError(folder_ + "/metrics.csv", "line 1",
                        fmt::format("no column {}: this is no run's metrics.csv", needed));
    }
  }
}

std::string_view RunTail::cell(Metric column) const {
  const auto place = columns_.find(column_name(column));
  return place == columns_.end() ? std::string_view() : cells_[place->second];
}

std::optional<double> RunTail::number(Metric column) const {
  const std::string_view text = cell(column);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

void RunTail::take_row(std::string_view line) {
  if (!cells_.split(line).empty() || cells_.size() != columns_.size()) return;
  const auto at = number(Metric::kTime);
  const std::string_view strategy = cell(Metric::kStrategy);
  if (!at || strategy.empty()) return;
  if (strategy != view_.strategy) {
    view_.strategy = strategy;
    const auto place = std::ranges::find(strategies_, strategy);
    // Each round has an order of its own.
    const bool counted = view_.rounds == 1 && place != strategies_.end();
    view_.strategy_number = counted ? static_cast<int>(place - strategies_.begin()) + 1 : 0;
    view_.lambda_series.clear();
    view_.active_series.clear();
    gpu_.reset();
  }
  view_.at = Seconds(*at);
  take_control();
  take_gpu();
}

void RunTail::take_control() {
  view_.simulated = number(Metric::kSimulated).value_or(view_.simulated ? 1.0 : 0.0) != 0.0;
  view_.lambda = number(Metric::kLambda);
  view_.active_experts = number(Metric::kActive);
  view_.kept_mass = number(Metric::kKeptMass);
  view_.bits_per_byte = number(Metric::kBits);
  view_.power_target = as<Watts>(number(Metric::kPowerTarget));
  view_.power_predicted = as<Watts>(number(Metric::kPredictedPower));
  view_.power_sensor = as<Watts>(number(Metric::kSensedAveragePower));
  view_.temperature_target = as<Celsius>(number(Metric::kTemperatureTarget));
  const auto milliseconds = [&](Metric column) -> std::optional<Seconds> {
    const auto value = number(column);
    return value ? std::optional(Seconds(1e-3 * *value)) : std::nullopt;
  };
  view_.step_time = milliseconds(Metric::kStepTime);
  view_.step_target = milliseconds(Metric::kStepTarget);
  view_.fallback = cell(Metric::kFallback);
  view_.at_floor = number(Metric::kAtFloor).value_or(0.0) != 0.0;
  view_.violation = number(Metric::kViolation).value_or(0.0) != 0.0;
  if (view_.lambda) view_.lambda_series.add(view_.at, *view_.lambda);
  if (view_.active_experts) view_.active_series.add(view_.at, *view_.active_experts);
}

void RunTail::take_gpu() {
  if (!gpu_) gpu_ = GpuView{.label = "the run's GPU"};
  GpuReading& r = gpu_->reading;
  const Seconds read_at = view_.at - Seconds(number(Metric::kSensedPowerAge).value_or(0.0));
  const auto take = [&](auto& reading, Metric column) {
    using Value = typename std::remove_reference_t<decltype(reading.value)>::value_type;
    reading.value = as<Value>(number(column));
    reading.read_at = reading.value ? view_.at : read_at;
    reading.changed_at = reading.read_at;
  };
  take(r.power_instant, Metric::kSensedInstantPower);
  take(r.power_average, Metric::kSensedAveragePower);
  take(r.temperature, Metric::kSensedTemperature);
  take(r.memory_temperature, Metric::kSensedMemoryTemperature);
  take(r.gpu_utilisation, Metric::kSensedGpuUtilisation);
  take(r.memory_utilisation, Metric::kSensedMemoryUtilisation);
  take(r.sm_clock, Metric::kSensedSmClock);
  take(r.throttle_reasons, Metric::kSensedThrottleReasons);
  r.power_instant.changed_at =
      view_.at - Seconds(number(Metric::kSensedPowerUnchanged).value_or(0.0));
  gpu_->now = view_.at;
  gpu_->cap = view_.power_target;
  const auto power = r.power_average.value ? r.power_average.value : r.power_instant.value;
  if (power) gpu_->power.add(view_.at, power->value);
  if (r.temperature.value) gpu_->temperature.add(view_.at, r.temperature.value->value);
}

}  // namespace thermoe
