// SPDX-License-Identifier: Apache-2.0
#include "profile/ncu_csv.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/csv_cells.h"
#include "core/errors.h"
#include "profile/ncu_number.h"
#include "profile/ncu_ranges.h"

namespace thermoe {
namespace {

constexpr std::size_t kLongestLine = std::size_t{16} << 20;
constexpr const char* kRecordAgain =
    "record again: LC_ALL=C ncu --csv --page raw --print-units base COMMAND";

/// The rows of the table in ncu's output: from the line of column names on, without what the
/// profiler and the program print between them.
class NcuRows {
 public:
  explicit NcuRows(const std::string& path) : path_(path), in_(path, std::ios::binary) {
    if (!in_) throw FormatError(path, "", fmt::format("cannot be read: {}", std::strerror(errno)));
    while (take_line()) {
      if (line_ == 1) text_ = std::string(without_byte_order_mark(text_));
      if (!text_.starts_with("\"ID\",")) continue;
      split();
      columns_.assign(cells_.begin(), cells_.end());
      return;
    }
    throw FormatError(path, "",
                      fmt::format("has no line that starts with \"ID\": this is no CSV of ncu; {}",
                                  kRecordAgain));
  }

  /// Moves to the next line of the table; false at the end.
  bool next() {
    while (take_line()) {
      if (!text_.starts_with('"')) continue;  // all of ncu's cells are quoted
      split();
      if (std::ranges::equal(cells_, columns_)) refuse("", "repeats the column names: two outputs");
      return true;
    }
    return false;
  }

  std::optional<std::size_t> find(std::string_view name) const {
    const auto found = std::ranges::find(columns_, name);
    if (found == columns_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - columns_.begin());
  }
  const std::vector<std::string>& columns() const { return columns_; }
  std::size_t size() const { return cells_.size(); }
  /// Empty where the line ends before it.
  std::string_view cell(std::optional<std::size_t> column) const {
    return column && *column < cells_.size() ? cells_[*column] : std::string_view();
  }

  [[noreturn]] void refuse(const std::string& column, const std::string& problem) const {
    throw FormatError(path_, fmt::format("line {}{}{}", first_, column.empty() ? "" : ", ", column),
                      problem);
  }
  void check_number(std::size_t column) const {
    if (!is_foreign_number(cell(column))) return;
    refuse(columns_[column],
           fmt::format("\"{}\" is a number of another locale; {}", cell(column), kRecordAgain));
  }

 private:
  /// A line of the file, with those that its quotes hold together.
  bool take_line() {
    if (!std::getline(in_, text_)) return false;
    first_ = ++line_;
    std::string more;
    while (text_.starts_with('"') && std::ranges::count(text_, '"') % 2 == 1) {
      if (text_.size() > kLongestLine || !std::getline(in_, more)) {
        refuse("", fmt::format("a quote is not closed: the file is cut off; {}", kRecordAgain));
      }
      ++line_;
      text_ += '\n' + more;
    }
    return true;
  }

  void split() {
    if (const auto problem = cells_.split(text_); !problem.empty()) {
      refuse("", fmt::format("{}; {}", problem, kRecordAgain));
    }
  }

  std::string path_;
  std::ifstream in_;
  std::string text_{};
  CsvCells cells_{};
  std::vector<std::string> columns_{};
  std::int64_t line_ = 0;   // read so far
  std::int64_t first_ = 0;  // where text_ begins
};

/// One profiled launch.
struct Launch {
  std::string name{};
  std::optional<Extent> grid{};
  std::optional<Extent> block{};
  std::optional<std::int64_t> registers{};
  std::optional<std::int64_t> ns{};
  std::vector<NcuRange> ranges{};
};

std::optional<std::int64_t> whole(std::string_view cell) {
  const auto value = ncu_number(cell);
  if (!value || *value < 0.0 || *value > 1e9) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

/// Reads either page. A launch is told by its process and its ID.
class NcuCsv {
 public:
  explicit NcuCsv(const std::string& path) : rows_(path) {
    for (std::size_t i = 0; i < rows_.columns().size(); ++i) {
      if (rows_.columns()[i].find("_Range:PL_Type") != std::string::npos) nvtx_.push_back(i);
    }
  }

  std::vector<Launch> read() {
    const auto metric = rows_.find("Metric Name"), value = rows_.find("Metric Value");
    if (metric && value) {
      read_details(*metric, *value);
    } else {
      read_raw();
    }
    std::vector<Launch> launches;
    for (const auto& key : order_) launches.push_back(std::move(launches_.at(key)));
    return launches;
  }
  bool has_ranges() const { return !nvtx_.empty(); }

 private:
  using Key = std::pair<std::string, std::string>;

  Launch& launch() {
    const Key key(rows_.cell(process_), rows_.cell(id_));
    const auto [place, is_new] = launches_.try_emplace(key);
    Launch& launch = place->second;
    if (!is_new) return launch;
    if (!whole(key.second)) {
      rows_.refuse("ID", fmt::format("\"{}\" is no whole number; {}", key.second, kRecordAgain));
    }
    order_.push_back(key);
    launch.name = rows_.cell(name_);
    launch.grid = ncu_extent(rows_.cell(grid_));
    launch.block = ncu_extent(rows_.cell(block_));
    for (const std::size_t column : nvtx_) {
      for (NcuRange& range : ncu_ranges(rows_.cell(column))) {
        launch.ranges.push_back(std::move(range));
      }
    }
    return launch;
  }

  /// One line a metric; lines of rules have other cells, and fewer.
  void read_details(std::size_t metric, std::size_t value) {
    const auto unit = rows_.find("Metric Unit");
    while (rows_.next()) {
      if (rows_.size() <= value) {
        rows_.refuse("", fmt::format("has {} cells, and a metric {} at least: it is cut off; {}",
                                     rows_.size(), value + 1, kRecordAgain));
      }
      rows_.check_number(value);
      Launch& one = launch();
      const std::string_view name = rows_.cell(metric);
      if (name == "Duration" || name == "gpu__time_duration.sum") {
        one.ns = ncu_duration(rows_.cell(value), rows_.cell(unit));
      } else if (name == "Registers Per Thread" || name == "launch__registers_per_thread") {
        one.registers = whole(rows_.cell(value));
      }
    }
  }

  /// One line a launch; the first line says the units.
  void read_raw() {
    const auto registers = rows_.find("launch__registers_per_thread");
    const auto duration = rows_.find("gpu__time_duration.sum");
    std::vector<std::string> units(rows_.columns().size());
    while (rows_.next()) {
      if (rows_.size() != rows_.columns().size()) {
        rows_.refuse("", fmt::format("has {} cells, and the column names {}: it is cut off; {}",
                                     rows_.size(), rows_.columns().size(), kRecordAgain));
      }
      if (rows_.cell(id_).empty()) {
        for (std::size_t i = 0; i < units.size(); ++i) units[i] = rows_.cell(i);
        continue;
      }
      for (std::size_t i = 0; i < units.size(); ++i) {
        if (!units[i].empty() || i == registers) rows_.check_number(i);
      }
      Launch& one = launch();
      one.registers = whole(rows_.cell(registers));
      if (duration) one.ns = ncu_duration(rows_.cell(duration), units[*duration]);
    }
  }

  NcuRows rows_;
  std::vector<std::size_t> nvtx_{};
  std::optional<std::size_t> id_ = rows_.find("ID"), process_ = rows_.find("Process ID"),
                             name_ = rows_.find("Kernel Name"), grid_ = rows_.find("Grid Size"),
                             block_ = rows_.find("Block Size");
  std::map<Key, Launch> launches_{};
  std::vector<Key> order_{};
};

std::string choose_domain(const std::vector<Launch>& launches, const ParseOptions& options,
                          const std::string& path) {
  std::set<std::string> names{kDefaultDomain};
  for (const Launch& launch : launches) {
    for (const NcuRange& range : launch.ranges) names.insert(range.domain);
  }
  if (!options.domain) return names.contains(kOwnDomain) ? kOwnDomain : kDefaultDomain;
  if (names.contains(*options.domain)) return *options.domain;
  throw FormatError(
      path, "NVTX columns",
      fmt::format("have no domain \"{}\" (ncu --nvtx records them)", *options.domain));
}

/// Adds a launch to a sum that is absent once one was not timed.
void add_time(std::optional<std::int64_t> ns, KernelRecord& record) {
  const bool timed = ns && (record.count == 0 || record.total_ns);
  if (!timed) {
    record.total_ns = record.min_ns = record.max_ns = std::nullopt;
  } else {
    record.total_ns = record.total_ns.value_or(0) + *ns;
    record.min_ns = std::min(record.min_ns.value_or(*ns), *ns);
    record.max_ns = std::max(record.max_ns.value_or(*ns), *ns);
  }
  ++record.count;
}

void sum_up(const std::vector<Launch>& launches, const std::string& domain,
            ParsedProfile& profile) {
  using Key = std::tuple<std::string, std::optional<std::string>, std::optional<Extent>,
                         std::optional<Extent>, std::optional<std::int64_t>>;
  std::map<Key, KernelRecord> records;
  std::map<std::string, RangeRecord> ranges;
  for (const Launch& launch : launches) {
    std::optional<std::string> op;
    for (const NcuRange& range : launch.ranges) {
      if (range.domain == domain) op = range.name;  // the last: the innermost
    }
    KernelRecord& record = records[{launch.name, op, launch.grid, launch.block, launch.registers}];
    if (record.count == 0) {
      record.name = launch.name;
      record.op = op;
      record.grid = launch.grid;
      record.block = launch.block;
      record.registers = launch.registers;
    }
    add_time(launch.ns, record);
    if (!op) continue;
    RangeRecord& range = ranges[*op];
    range.name = *op;
    range.domain = domain;
    ++range.kernels;
    range.kernel_ns += launch.ns.value_or(0);
  }
  for (auto& [key, record] : records) profile.kernels.push_back(std::move(record));
  for (auto& [name, range] : ranges) profile.ranges.push_back(std::move(range));
  std::ranges::stable_sort(profile.kernels, std::ranges::greater{}, &KernelRecord::total_ns);
  std::ranges::stable_sort(profile.ranges, std::ranges::greater{}, &RangeRecord::kernel_ns);
}

}  // namespace

ParsedProfile parse_ncu_csv(const std::string& path, const ParseOptions& options) {
  if (options.samples) {
    throw FormatError(
        path, "", "holds no times of day, so that no samples can be merged: leave --samples out");
  }
  NcuCsv csv(path);
  const std::vector<Launch> launches = csv.read();
  ParsedProfile profile{.file = path, .tool = "ncu"};
  profile.missing.emplace_back("version: ncu does not write it into its CSV");
  if (!csv.has_ranges()) profile.missing.emplace_back("NVTX ranges: record with ncu --nvtx");
  if (launches.empty()) profile.missing.emplace_back("kernels: none was profiled");
  const auto count = [&](auto member) {
    return std::ranges::count_if(launches, [&](const Launch& l) { return !(l.*member); });
  };
  if (const auto untimed = count(&Launch::ns); untimed > 0) {
    profile.missing.push_back(
        fmt::format("gpu__time_duration.sum: of {} of {} launches", untimed, launches.size()));
  }
  if (const auto unknown = count(&Launch::registers); unknown > 0) {
    profile.missing.push_back(fmt::format("launch__registers_per_thread: of {} of {} launches",
                                          unknown, launches.size()));
  }
  profile.missing.emplace_back("power and temperature: ncu does not sample them");
  sum_up(launches, choose_domain(launches, options, path), profile);
  return profile;
}

}  // namespace thermoe
