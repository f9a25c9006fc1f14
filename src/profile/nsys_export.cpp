// SPDX-License-Identifier: Apache-2.0
#include "profile/nsys_export.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/errors.h"
#include "profile/kernel_log.h"
#include "profile/nsys_ranges.h"
#include "profile/nsys_samples.h"
#include "profile/nsys_strings.h"
#include "profile/nsys_threads.h"
#include "profile/sqlite_file.h"

namespace thermoe {
namespace {

constexpr const char* kKernels = "CUPTI_ACTIVITY_KIND_KERNEL";
constexpr const char* kCalls = "CUPTI_ACTIVITY_KIND_RUNTIME";
constexpr const char* kGraphs = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE";
constexpr const char* kStrings = "StringIds";
constexpr const char* kGpus = "TARGET_INFO_GPU";

constexpr std::int64_t kNoName = INT64_MIN;

/// Calls of the runtime and of the driver; other classes repeat them (67: their back-traces).
bool is_call(std::optional<std::int64_t> event_class) {
  return !event_class || *event_class == 0 || *event_class == 1;
}

/// Reads one export, table by table.
class NsysExport {
 public:
  NsysExport(const std::string& path, const ParseOptions& options)
      : file_(path), options_(options), profile_{.file = path, .tool = "nsys"} {}

  ParsedProfile parse() {
    check_schema();
    read_version();
    read_devices();
    const bool has_kernels = note(kKernels);
    const bool has_calls = note(kCalls);
    note("NVTX_EVENTS");
    NsysRanges own = read_nsys_ranges(file_, profile_.file, options_.domain);
    KernelLog log;
    if (has_kernels) read_kernels(log);
    check_graphs(has_kernels);
    log.finish_kernels();
    if (has_calls) read_calls(own.ranges, log);
    KernelLog::Names names{.ranges = std::move(own.names), .domain = own.domain};
    names.kernels = nsys_strings(file_, kernel_names_);
    const auto unknown = kernel_names_.size() - names.kernels.size();
    if (note(kStrings) && unknown > 0) {
      profile_.missing.push_back(fmt::format("{}: the names of {} kernels", kStrings, unknown));
    }
    const SamplesByDevice samples =
        options_.samples ? read_nsys_recording(file_, *options_.samples, profile_.missing)
                         : read_nsys_samples(file_, profile_.missing);
    log.sum_up(own.ranges, names, samples, options_.executions, profile_);
    return std::move(profile_);
  }

 private:
  /// Whether the table is there; else it is said to be missing.
  bool note(const std::string& table) {
    const bool there = file_.has_table(table);
    if (!there) profile_.missing.push_back(table);
    return there;
  }

  void note_column(const std::string& table, const std::string& column) {
    if (!file_.has_column(table, column)) {
      profile_.missing.push_back(fmt::format("{}.{}", table, column));
    }
  }

  void check_schema() const {
    const auto known = {kKernels,          kCalls, kGraphs, kStrings, "META_DATA_EXPORT",
                        "EXPORT_META_DATA"};
    if (std::ranges::any_of(known, [&](const char* name) { return file_.has_table(name); })) return;
    throw FormatError(profile_.file, "",
                      fmt::format("is a SQLite database, but no export of nsys: it has none of {}, "
                                  "{}, {}; write one: nsys export --type sqlite REPORT.nsys-rep",
                                  kKernels, kStrings, "META_DATA_EXPORT"));
  }

  void read_version() {
    for (const char* table : {"META_DATA_EXPORT", "EXPORT_META_DATA"}) {  // the latter: 2022
      if (!file_.has_table(table)) continue;
      SqliteRows row = file_.rows(table, {{"name"}, {"value"}});
      while (row.next()) {
        const auto name = row.text(0);
        if (name == "EXPORT_PRODUCT_VERSION" || name == "PRODUCT_VERSION") {
          if (const auto value = row.text(1)) profile_.version = *value;
        }
      }
      return;
    }
    profile_.missing.emplace_back("META_DATA_EXPORT");
  }

  void read_devices() {
    if (!note(kGpus)) return;
    SqliteRows row = file_.rows(kGpus, {{"name", false}});
    while (row.next()) {
      if (const auto name = row.text(0)) profile_.devices.emplace_back(*name);
    }
  }

  /// The column that names kernels: demangled with its template arguments, if there is that.
  std::string name_column() const {
    for (const char* column : {"demangledName", "shortName", "mangledName"}) {
      if (file_.has_column(kKernels, column)) return column;
    }
    throw FormatError(profile_.file, kKernels,
                      "has no column demangledName: this is no export of nsys 2022 to 2026");
  }

  void read_kernels(KernelLog& log) {
    enum Place : std::size_t { kStart, kEnd, kName, kDevice, kProcess, kCorrelation, kRegisters };
    constexpr std::size_t kGrid = 7, kBlock = 10;
    const std::vector<SqliteFile::Column> columns = {{"start"},
                                                     {"end"},
                                                     {name_column()},
                                                     {"deviceId", false},
                                                     {"globalPid", false},
                                                     {"correlationId", false},
                                                     {"registersPerThread", false},
                                                     {"gridX", false},
                                                     {"gridY", false},
                                                     {"gridZ", false},
                                                     {"blockX", false},
                                                     {"blockY", false},
                                                     {"blockZ", false}};
    for (const auto& column : columns) note_column(kKernels, column.name);
    log.reserve(file_.most_rows(kKernels));
    SqliteRows row = file_.rows(kKernels, columns);
    while (row.next()) {
      const std::int64_t start = row.integer(kStart), end = row.integer(kEnd);
      std::int64_t ns = 0;
      if (end < start || __builtin_sub_overflow(end, start, &ns)) {
        row.refuse(kEnd, fmt::format("is {}, before its start {}", end, start));
      }
      const auto process = row.optional_integer(kProcess);
      const auto correlation = row.optional_integer(kCorrelation);
      std::optional<LaunchId> launch;
      if (process && correlation) {
        launch = LaunchId{.process = static_cast<std::uint64_t>(*process),
                          .correlation = static_cast<std::uint64_t>(*correlation)};
      }
      const KernelKind kind{.name = row.optional_integer(kName).value_or(kNoName),
                            .device = row.optional_integer(kDevice).value_or(-1),
                            .grid = extent(row, kGrid),
                            .block = extent(row, kBlock),
                            .registers = row.optional_integer(kRegisters)};
      if (kind.name != last_name_) kernel_names_.insert(last_name_ = kind.name);
      log.add(kind, start, end, launch);
      ++kernels_;
    }
  }

  static std::optional<Extent> extent(const SqliteRows& row, std::size_t x) {
    const auto a = row.optional_integer(x), b = row.optional_integer(x + 1),
               c = row.optional_integer(x + 2);
    if (!a || !b || !c) return std::nullopt;
    return Extent{*a, *b, *c};
  }

  /// A graph that was recorded as a whole has no kernels in the export.
  void check_graphs(bool has_kernels) {
    if (!file_.has_table(kGraphs)) return;
    std::int64_t graphs = 0;
    SqliteRows row = file_.rows(kGraphs, {{"start", false}});
    while (row.next()) ++graphs;
    if (graphs == 0) return;
    if (!has_kernels || kernels_ == 0) {
      throw FormatError(profile_.file, kGraphs,
                        fmt::format("has {} launches of CUDA graphs as a whole, and no kernel was "
                                    "recorded; record again with nsys profile "
                                    "--cuda-graph-trace=node",
                                    graphs));
    }
    profile_.missing.push_back(fmt::format(
        "{}: the kernels of {} launches of CUDA graphs (record with --cuda-graph-trace=node)",
        kKernels, graphs));
  }

  void read_calls(const OpRanges& ranges, KernelLog& log) {
    enum Place : std::size_t { kStart, kEnd, kClass, kThread, kCorrelation };
    SqliteRows row = file_.rows(
        kCalls, {{"start"}, {"end"}, {"eventClass", false}, {"globalTid"}, {"correlationId"}});
    while (row.next()) {
      if (!is_call(row.optional_integer(kClass))) continue;
      const auto thread = row.optional_integer(kThread);
      const auto correlation = row.optional_integer(kCorrelation);
      if (!thread || !correlation) continue;
      const auto id = static_cast<std::uint64_t>(*thread);
      log.add_call(ranges, {.id = {.process = nsys_process(id),
                                   .correlation = static_cast<std::uint64_t>(*correlation)},
                            .thread = id,
                            .start_ns = row.integer(kStart),
                            .end_ns = row.integer(kEnd)});
    }
  }

  SqliteFile file_;
  const ParseOptions& options_;
  ParsedProfile profile_;
  std::unordered_set<std::int64_t> kernel_names_{};
  std::int64_t last_name_ = kNoName;
  std::int64_t kernels_ = 0;
};

}  // namespace

ParsedProfile parse_nsys_export(const std::string& path, const ParseOptions& options) {
  return NsysExport(path, options).parse();
}

}  // namespace thermoe
