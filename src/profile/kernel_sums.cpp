// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <tuple>

#include "core/errors.h"
#include "profile/kernel_log.h"

namespace thermoe {
namespace {

constexpr double kNanoseconds = 1e-9;

std::int64_t sum(std::int64_t a, std::int64_t b, const std::string& file) {
  std::int64_t both = 0;
  if (__builtin_add_overflow(a, b, &both)) {
    throw FormatError(file, "", "its kernels last more than 2^63 ns together: it is damaged");
  }
  return both;
}

/// A sensor's mean over launches, by their time.
class CoveredMean {
 public:
  void add(std::optional<double> value, double weight) {
    if (!value) {
      whole_ = false;
      return;
    }
    integral_ += *value * weight;
    weight_ += weight;
  }
  void add(const CoveredMean& other) {
    integral_ += other.integral_;
    weight_ += other.weight_;
    whole_ = whole_ && other.whole_;
  }
  std::optional<double> mean() const {
    return weight_ > 0.0 ? std::optional(integral_ / weight_) : std::nullopt;
  }
  /// Absent where a launch was not covered: a sum of the others would be too small.
  std::optional<double> integral() const {
    return whole_ && weight_ > 0.0 ? std::optional(integral_) : std::nullopt;
  }

 private:
  double integral_ = 0.0;
  double weight_ = 0.0;
  bool whole_ = true;
};

struct Sums {
  std::int64_t count = 0;
  std::int64_t total_ns = 0;
  std::int64_t min_ns = INT64_MAX;
  std::int64_t max_ns = 0;
  CoveredMean power{};
  CoveredMean temperature{};

  void add(const Sums& other, const std::string& file) {
    count += other.count;
    total_ns = sum(total_ns, other.total_ns, file);
    min_ns = std::min(min_ns, other.min_ns);
    max_ns = std::max(max_ns, other.max_ns);
    power.add(other.power);
    temperature.add(other.temperature);
  }
};

/// What tells records apart.
using RecordKey =
    std::tuple<std::optional<std::string>, std::optional<std::string>, std::optional<Extent>,
               std::optional<Extent>, std::optional<std::int64_t>>;

KernelRecord record_of(const RecordKey& key, const Sums& sums) {
  KernelRecord record{.name = std::get<0>(key),
                      .op = std::get<1>(key),
                      .count = sums.count,
                      .total_ns = sums.total_ns,
                      .min_ns = sums.min_ns,
                      .max_ns = sums.max_ns,
                      .grid = std::get<2>(key),
                      .block = std::get<3>(key),
                      .registers = std::get<4>(key)};
  if (const auto joules = sums.power.integral()) record.energy = Joules(*joules);
  if (const auto watts = sums.power.mean()) record.mean_power = Watts(*watts);
  if (const auto celsius = sums.temperature.mean()) record.mean_temperature = Celsius(*celsius);
  return record;
}

}  // namespace

/// The sums of each kind of kernel within each range's name.
class KernelLog::Summary {
 public:
  Summary(const KernelLog& log, const OpRanges& op_ranges, const Names& names,
          const SamplesByDevice& samples, bool executions, ParsedProfile& profile)
      : log_(log), op_ranges_(op_ranges), names_(names), samples_(samples), profile_(profile) {
    if (executions) spans_.resize(op_ranges.all().size());
  }

  void run() {
    count_ranges();
    for (const Kernel& kernel : log_.kernels_) add(kernel);
    put_kernels();
    put_executions();
    put_ranges();
  }

 private:
  void count_ranges() {
    ranges_.resize(names_.ranges.size());
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
      ranges_[i] = {.name = names_.ranges[i], .domain = names_.domain, .count = 0, .total_ns = 0};
    }
    for (const OpRange& range : op_ranges_.all()) {
      RangeRecord& record = ranges_[range.name];
      ++*record.count;
      if (range.end_ns == INT64_MAX) {
        record.total_ns.reset();
      } else if (record.total_ns) {
        *record.total_ns = sum(*record.total_ns, range.end_ns - range.start_ns, profile_.file);
      }
    }
  }

  void add(const Kernel& kernel) {
    if (kernel.owner == kOrphan) ++profile_.orphan_kernels;
    const bool owned = kernel.owner != kOrphan && kernel.owner != kNone;
    const std::uint32_t op = owned ? op_ranges_.all()[kernel.owner].name : kNone;
    const std::int64_t ns = kernel.end_ns - kernel.start_ns;
    if (owned) {
      ++ranges_[op].kernels;
      ranges_[op].kernel_ns = sum(ranges_[op].kernel_ns, ns, profile_.file);
      if (!spans_.empty()) stretch(kernel);
    }
    const std::pair key(kernel.kind, op);
    if (sums_.empty() || key != last_key_) {
      last_ = &sums_[(std::uint64_t{kernel.kind} << 32U) | op];
      last_key_ = key;
    }
    Sums one{.count = 1, .total_ns = ns, .min_ns = ns, .max_ns = ns};
    add_samples(kernel, one);
    last_->add(one, profile_.file);
  }

  void stretch(const Kernel& kernel) {
    Span& span = spans_[kernel.owner];
    span.start_ns = std::min(span.start_ns, kernel.start_ns);
    span.end_ns = std::max(span.end_ns, kernel.end_ns);
    span.device = log_.kinds_[kernel.kind].device;
  }

  const GpuSamples* samples_of(std::int64_t device) const {
    const auto found = samples_.find(device);
    return found == samples_.end() ? nullptr : &found->second;
  }

  void add_samples(const Kernel& kernel, Sums& one) {
    const GpuSamples* samples = samples_of(log_.kinds_[kernel.kind].device);
    const double seconds = kNanoseconds * static_cast<double>(kernel.end_ns - kernel.start_ns);
    const auto mean = [&](SampleSeries GpuSamples::*series) {
      return samples ? (samples->*series).mean(kernel.start_ns, kernel.end_ns) : std::nullopt;
    };
    one.power.add(mean(&GpuSamples::power), seconds);
    one.temperature.add(mean(&GpuSamples::temperature), seconds);
  }

  void put_kernels() {
    std::map<RecordKey, Sums> records;
    for (const auto& [key, sums] : sums_) {
      const KernelKind& kind = log_.kinds_[key >> 32U];
      const auto op = static_cast<std::uint32_t>(key);
      const auto name = names_.kernels.find(kind.name);
      RecordKey record;
      if (name != names_.kernels.end()) std::get<0>(record) = name->second;
      if (op != kNone) std::get<1>(record) = names_.ranges[op];
      std::get<2>(record) = kind.grid;
      std::get<3>(record) = kind.block;
      std::get<4>(record) = kind.registers;
      records[record].add(sums, profile_.file);
    }
    for (const auto& [key, sums] : records) profile_.kernels.push_back(record_of(key, sums));
    std::ranges::stable_sort(profile_.kernels, std::ranges::greater{}, &KernelRecord::total_ns);
  }

  void put_executions() {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      const Span& span = spans_[i];
      if (span.end_ns < span.start_ns) continue;  // it launched nothing
      Execution execution{.span_ns = span.end_ns - span.start_ns};
      const GpuSamples* samples = samples_of(span.device);
      const auto watts = samples ? samples->power.mean(span.start_ns, span.end_ns) : std::nullopt;
      if (watts) {
        execution.energy = Joules(*watts * kNanoseconds * static_cast<double>(execution.span_ns));
      }
      ranges_[op_ranges_.all()[i].name].executions.push_back(execution);
    }
  }

  void put_ranges() {
    for (RangeRecord& range : ranges_) {
      if (*range.count > 0) profile_.ranges.push_back(std::move(range));
    }
    std::ranges::stable_sort(profile_.ranges, std::ranges::greater{}, [](const RangeRecord& range) {
      return std::pair(range.kernel_ns, range.kernels);
    });
  }

  struct Span {
    std::int64_t start_ns = INT64_MAX;
    std::int64_t end_ns = INT64_MIN;
    std::int64_t device = 0;
  };

  const KernelLog& log_;
  const OpRanges& op_ranges_;
  const Names& names_;
  const SamplesByDevice& samples_;
  ParsedProfile& profile_;
  std::vector<RangeRecord> ranges_{};  // by OpRange::name
  std::vector<Span> spans_{};          // by place in the ranges; empty: nobody asked
  std::unordered_map<std::uint64_t, Sums> sums_{};
  std::pair<std::uint32_t, std::uint32_t> last_key_{};
  Sums* last_ = nullptr;
};

void KernelLog::sum_up(const OpRanges& ranges, const Names& names, const SamplesByDevice& samples,
                       bool executions, ParsedProfile& profile) const {
  Summary(*this, ranges, names, samples, executions, profile).run();
}

}  // namespace thermoe
