// SPDX-License-Identifier: Apache-2.0
#include "profile/kineto_trace.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/errors.h"
#include "profile/kernel_log.h"
#include "profile/name_numbers.h"
#include "profile/recorded_samples.h"
#include "profile/trace_event.h"

namespace thermoe {
namespace {

constexpr const char* kAnnotations = "user_annotation";
constexpr const char* kOperators = "cpu_op";

std::uint64_t thread_of(const TraceEvent& event) {
  return (static_cast<std::uint64_t>(event.process.value_or(0)) << 32U) ^
         static_cast<std::uint64_t>(event.thread.value_or(0));
}

std::optional<Extent> extent_of(const std::vector<std::int64_t>& sizes) {
  return sizes.size() == 3 ? std::optional(Extent{sizes[0], sizes[1], sizes[2]}) : std::nullopt;
}

/// Ranges of one category.
struct Ranges {
  OpRanges ranges{};
  NameNumbers names{};
};

class KinetoTrace {
 public:
  explicit KinetoTrace(const std::string& path) : profile_{.file = path, .tool = "kineto"} {}

  ParsedProfile parse(const ParseOptions& options) {
    const auto visit = [this](const TraceEvent& event, std::int64_t place) { add(event, place); };
    const TraceHeader header = read_trace_events(profile_.file, visit);
    check(header);
    if (header.schema) profile_.version = fmt::format("trace schema {}", *header.schema);
    profile_.devices = header.devices;
    note_missing(header);
    const std::string category = choose_category(options);
    Ranges& own = category == kAnnotations ? annotations_ : operators_;
    own.ranges.finish();
    log_.finish_kernels();
    for (const LaunchCall& call : calls_) log_.add_call(own.ranges, call);
    KernelLog::Names names{.ranges = own.names.take(), .domain = category};
    std::int64_t number = 0;
    for (std::string& name : kernel_names_.take()) names.kernels[number++] = std::move(name);
    log_.sum_up(own.ranges, names, samples(header, options), options.executions, profile_);
    return std::move(profile_);
  }

 private:
  void add(const TraceEvent& event, std::int64_t place) {
    if (event.phase != "X") return;
    const std::string& category = event.category;
    const bool kernel = category == "kernel" || category == "Kernel";
    const bool call = category == "cuda_runtime" || category == "cuda_driver" ||
                      category == "Runtime" || category == "Driver";
    // Every step of a schedule is a range, too, and no op.
    const bool annotation = category == kAnnotations && !event.name.starts_with("ProfilerStep#");
    const bool op = category == kOperators || category == "Operator";
    if (!kernel && !call && !annotation && !op) return;
    const std::int64_t start = needed(event.start_ns, "ts", place);
    const std::int64_t ns = needed(event.duration_ns, "dur", place);
    std::int64_t end = 0;
    if (ns < 0 || __builtin_add_overflow(start, ns, &end)) {
      refuse(place, "dur", fmt::format("is {} ns, must be a duration", ns));
    }
    if (kernel) add_kernel(event, start, end);
    if (call) add_call(event, start, end);
    if (annotation || op) {
      Ranges& own = annotation ? annotations_ : operators_;
      own.ranges.add(thread_of(event), start, end, own.names.number(event.name));
    }
  }

  void add_kernel(const TraceEvent& event, std::int64_t start, std::int64_t end) {
    const KernelKind kind{.name = kernel_names_.number(event.name),
                          .device = event.device.value_or(-1),
                          .grid = extent_of(event.grid),
                          .block = extent_of(event.block),
                          .registers = event.registers};
    std::optional<LaunchId> launch;
    if (event.correlation) {
      launch = LaunchId{.correlation = static_cast<std::uint64_t>(*event.correlation)};
    }
    log_.add(kind, start, end, launch);
  }

  void add_call(const TraceEvent& event, std::int64_t start, std::int64_t end) {
    if (!event.correlation) return;
    processes_.insert(event.process.value_or(0));
    calls_.push_back({.id = {.correlation = static_cast<std::uint64_t>(*event.correlation)},
                      .thread = thread_of(event),
                      .start_ns = start,
                      .end_ns = end});
  }

  void check(const TraceHeader& header) const {
    if (!header.has_events) {
      throw FormatError(profile_.file, "/traceEvents",
                        "is missing: this is no trace of torch.profiler; write one with "
                        "profiler.export_chrome_trace(\"trace.json.gz\")");
    }
    if (processes_.size() > 1) {
      throw FormatError(profile_.file, "/traceEvents",
                        fmt::format("holds the calls of {} processes, and kernels do not say whose "
                                    "they are; parse the trace of each rank by itself",
                                    processes_.size()));
    }
  }

  void note_missing(const TraceHeader& header) {
    if (header.devices.empty()) profile_.missing.emplace_back("deviceProperties");
    if (log_.empty()) {
      profile_.missing.emplace_back("kernel: none; record with ProfilerActivity.CUDA");
    }
    if (calls_.empty()) profile_.missing.emplace_back("cuda_runtime");
    if (annotations_.ranges.all().empty()) profile_.missing.emplace_back(kAnnotations);
  }

  SamplesByDevice samples(const TraceHeader& header, const ParseOptions& options) {
    if (!options.samples) {
      profile_.missing.emplace_back(
          "power and temperature: a trace does not hold them (--samples)");
      return {};
    }
    auto recorded = read_recorded_samples(*options.samples, header.base_ns.value_or(0));
    if (recorded.size() == 1 && header.devices.size() == 1) {
      return {{0, std::move(recorded.begin()->second.samples)}};
    }
    profile_.missing.push_back(
        fmt::format("deviceProperties: does not say which of {} recorded GPUs is which of {}",
                    recorded.size(), header.devices.size()));
    return {};
  }

  std::string choose_category(const ParseOptions& options) const {
    if (!options.domain) {
      return annotations_.ranges.all().empty() ? kOperators : kAnnotations;
    }
    if (*options.domain == kAnnotations || *options.domain == kOperators) return *options.domain;
    throw FormatError(profile_.file, "",
                      fmt::format("a trace has no NVTX domain \"{}\"; its ranges are {} or {}",
                                  *options.domain, kAnnotations, kOperators));
  }

  std::int64_t needed(std::optional<std::int64_t> value, const char* key,
                      std::int64_t place) const {
    if (!value) refuse(place, key, "is missing");
    return *value;
  }
  [[noreturn]] void refuse(std::int64_t place, const char* key, const std::string& problem) const {
    throw FormatError(profile_.file, fmt::format("/traceEvents/{}/{}", place, key), problem);
  }

  ParsedProfile profile_;
  Ranges annotations_{};
  Ranges operators_{};
  NameNumbers kernel_names_{};
  KernelLog log_{};
  std::vector<LaunchCall> calls_{};
  std::set<std::int64_t> processes_{};
};

}  // namespace

ParsedProfile parse_kineto_trace(const std::string& path, const ParseOptions& options) {
  return KinetoTrace(path).parse(options);
}

}  // namespace thermoe
