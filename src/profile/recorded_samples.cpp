// SPDX-License-Identifier: Apache-2.0
#include "profile/recorded_samples.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <vector>

#include "core/csv_reader.h"
#include "core/errors.h"

namespace thermoe {
namespace {

constexpr double kSecond = 1e9;
constexpr int kLastYear = 2200;
constexpr std::int64_t kLatestUtcNs = 7'300'000'000'000'000'000;  // in 2201: sums of two times fit
constexpr double kMostGpus = 65536;

/// A row's readings, its time still that of the recording.
struct Row {
  std::int64_t gpu = 0;
  std::int64_t at_ns = 0;
  std::optional<double> power{};
  std::optional<double> temperature{};
};

std::optional<int> digits(std::string_view text, std::size_t from, std::size_t count) {
  if (from + count > text.size()) return std::nullopt;
  int value = 0;
  const char* begin = text.data() + from;
  const auto [stop, error] = std::from_chars(begin, begin + count, value);
  if (error != std::errc() || stop != begin + count || *begin == '-') return std::nullopt;
  return value;
}

class Recording {
 public:
  explicit Recording(const std::string& path)
      : path_(path), csv_(path, CsvReader::LastLine::kMayBeWhole) {}

  std::map<std::int64_t, RecordedGpu> read(std::int64_t zero_utc_ns) {
    if (zero_utc_ns < 0 || zero_utc_ns > kLatestUtcNs) {
      throw FormatError(
          path_, "utc",
          fmt::format("cannot be compared: the profile says that its time 0 is {} ns after 1970, "
                      "must be in the years 1970 to {}",
                      zero_utc_ns, kLastYear));
    }
    while (csv_.next()) add_row();
    if (offsets_.empty()) {
      throw FormatError(path_, "utc", "has no time of day: when its samples were taken is unknown");
    }
    const auto middle = offsets_.begin() + static_cast<std::ptrdiff_t>(offsets_.size() / 2);
    std::nth_element(offsets_.begin(), middle, offsets_.end());
    const std::int64_t shift = *middle - zero_utc_ns;
    for (const Row& row : rows_) {
      GpuSamples& samples = gpus_[row.gpu].samples;
      if (row.power) samples.power.add(row.at_ns + shift, *row.power);
      if (row.temperature) samples.temperature.add(row.at_ns + shift, *row.temperature);
    }
    for (auto& [index, gpu] : gpus_) {
      gpu.samples.power.finish();
      gpu.samples.temperature.finish();
    }
    return std::move(gpus_);
  }

 private:
  std::optional<double> number(std::optional<std::size_t> column) const {
    return column ? csv_.number(*column) : std::nullopt;
  }

  void add_row() {
    if (number(simulated_).value_or(0.0) != 0.0) {
      throw FormatError(path_, fmt::format("line {}, simulated", csv_.line()),
                        "is of simulated hardware: its watts are not those of a profiled run");
    }
    const std::optional<double> gpu = gpu_ ? csv_.number(*gpu_) : 0.0;
    if (!gpu) return;  // a sensor of the host
    if (!(*gpu >= 0.0 && *gpu < kMostGpus && *gpu == std::trunc(*gpu))) {
      throw FormatError(
          path_, fmt::format("line {}, gpu", csv_.line()),
          fmt::format("is {}, must be a GPU's index, 0 to {}", csv_.cell(*gpu_), kMostGpus - 1));
    }
    const double seconds = csv_.number(time_).value_or(-1.0);
    if (!(seconds >= 0.0 && seconds < kSecond)) {
      throw FormatError(
          path_, fmt::format("line {}, t_s", csv_.line()),
          fmt::format("is \"{}\", must be seconds since the recording's start", csv_.cell(time_)));
    }
    const auto at = static_cast<std::int64_t>(std::llround(kSecond * seconds));
    if (const auto utc = utc_ns(csv_.cell(utc_))) offsets_.push_back(*utc - at);
    const auto index = static_cast<std::int64_t>(*gpu);
    std::string_view uuid = uuid_ ? csv_.cell(*uuid_) : "";
    if (uuid.starts_with("GPU-")) uuid.remove_prefix(4);
    gpus_[index].uuid = uuid;
    const auto instant = number(instant_);
    rows_.push_back({.gpu = index,
                     .at_ns = at,
                     .power = instant ? instant : number(average_),
                     .temperature = number(temperature_)});
  }

  const std::string& path_;
  CsvReader csv_;
  std::size_t time_ = csv_.need("t_s");
  std::size_t utc_ = csv_.need("utc");
  std::optional<std::size_t> gpu_ = csv_.find("gpu"), uuid_ = csv_.find("uuid"),
                             simulated_ = csv_.find("simulated"),
                             instant_ = csv_.find("power_instant_w"),
                             average_ = csv_.find("power_w"),
                             temperature_ = csv_.find("temp_gpu_c");
  std::vector<Row> rows_{};
  std::vector<std::int64_t> offsets_{};
  std::map<std::int64_t, RecordedGpu> gpus_{};
};

}  // namespace

std::map<std::int64_t, RecordedGpu> read_recorded_samples(const std::string& path,
                                                          std::int64_t zero_utc_ns) {
  return Recording(path).read(zero_utc_ns);
}

std::optional<std::int64_t> utc_ns(std::string_view text) {
  using namespace std::chrono;
  constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() < kForm.size() + 1 || text.back() != 'Z') return std::nullopt;
  for (const std::size_t at : {4U, 7U, 10U, 13U, 16U}) {
    if (text[at] != kForm[at]) return std::nullopt;
  }
  const auto y = digits(text, 0, 4), mo = digits(text, 5, 2), d = digits(text, 8, 2),
             h = digits(text, 11, 2), mi = digits(text, 14, 2), s = digits(text, 17, 2);
  if (!y || !mo || !d || !h || !mi || !s) return std::nullopt;
  const year_month_day date{year(*y), month(static_cast<unsigned>(*mo)),
                            day(static_cast<unsigned>(*d))};
  if (!date.ok() || *y < 1970 || *y > kLastYear || *h > 23 || *mi > 59 || *s > 60)
    return std::nullopt;
  std::int64_t ns = 0;
  std::string_view fraction = text.substr(kForm.size(), text.size() - kForm.size() - 1);
  if (!fraction.empty()) {
    if (fraction[0] != '.' || fraction.size() > 10 || fraction.size() < 2) return std::nullopt;
    const auto value = digits(fraction, 1, fraction.size() - 1);
    if (!value) return std::nullopt;
    ns = *value;
    for (std::size_t i = fraction.size(); i < 10; ++i) ns *= 10;
  }
  const auto whole = sys_days(date).time_since_epoch() + hours(*h) + minutes(*mi) + seconds(*s);
  return duration_cast<nanoseconds>(whole).count() + ns;
}

}  // namespace thermoe
