// SPDX-License-Identifier: Apache-2.0
#include "profile/nsys_ranges.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/errors.h"
#include "profile/name_numbers.h"
#include "profile/nsys_strings.h"
#include "profile/nsys_threads.h"
#include "profile/parse_options.h"

namespace thermoe {
namespace {

constexpr const char* kTable = "NVTX_EVENTS";
constexpr std::int64_t kPushPop = 59;
constexpr std::int64_t kStartEnd = 60;
constexpr std::int64_t kDomainCreate = 75;

/// A process gives its domains numbers of its own.
using DomainId = std::pair<std::uint64_t, std::int64_t>;

enum Place : std::size_t { kType, kStart, kEnd, kThread, kDomain, kText, kTextId };

SqliteRows events(const SqliteFile& file) {
  return file.rows(kTable, {{"eventType"},
                            {"start"},
                            {"end", false},
                            {"globalTid"},
                            {"domainId", false},
                            {"text", false},
                            {"textId", false}});
}

DomainId domain_of(const SqliteRows& row) {
  const auto thread = static_cast<std::uint64_t>(row.optional_integer(kThread).value_or(0));
  return {nsys_process(thread), row.optional_integer(kDomain).value_or(0)};
}

/// Everything in the table but the ranges themselves.
struct Directory {
  std::unordered_map<std::int64_t, std::string> texts{};  // by textId
  std::map<DomainId, std::string> domains{};
  std::int64_t ranges = 0;
};

bool is_range(std::int64_t type) { return type == kPushPop || type == kStartEnd; }

Directory read_directory(const SqliteFile& file) {
  Directory directory;
  std::unordered_set<std::int64_t> ids;
  std::map<DomainId, std::int64_t> named_by_id;
  SqliteRows row = events(file);
  while (row.next()) {
    const std::int64_t type = row.integer(kType);
    if (!is_range(type) && type != kDomainCreate) continue;
    if (is_range(type)) ++directory.ranges;
    const auto id = row.optional_integer(kTextId);
    if (id) ids.insert(*id);
    if (type != kDomainCreate) continue;
    if (const auto text = row.text(kText)) {
      directory.domains[domain_of(row)] = *text;
    } else if (id) {
      named_by_id[domain_of(row)] = *id;
    }
  }
  directory.texts = nsys_strings(file, ids);
  for (const auto& [domain, id] : named_by_id) {
    const auto text = directory.texts.find(id);
    if (text != directory.texts.end()) directory.domains[domain] = text->second;
  }
  return directory;
}

std::string choose_domain(const Directory& directory, const std::string& path,
                          const std::optional<std::string>& wanted) {
  std::set<std::string> names{kDefaultDomain};
  for (const auto& [id, name] : directory.domains) names.insert(name);
  if (!wanted) return names.contains(kOwnDomain) ? kOwnDomain : kDefaultDomain;
  if (names.contains(*wanted)) return *wanted;
  throw FormatError(
      path, kTable,
      fmt::format("has no domain \"{}\"; it has: {}", *wanted, fmt::join(names, ", ")));
}

/// Numbers for the names of ranges, which stand in the row or are an id of StringIds.
class RangeNumbers {
 public:
  explicit RangeNumbers(const std::unordered_map<std::int64_t, std::string>& texts)
      : texts_(texts) {}

  std::uint32_t number(std::optional<std::string_view> text, std::optional<std::int64_t> id) {
    if (text || !id) return numbers_.number(std::string(text.value_or("")));
    const auto [known, is_new] = of_id_.try_emplace(*id, 0);
    if (is_new) {
      const auto found = texts_.find(*id);
      known->second = numbers_.number(found == texts_.end() ? "" : found->second);
    }
    return known->second;
  }

  std::vector<std::string> take() { return numbers_.take(); }

 private:
  const std::unordered_map<std::int64_t, std::string>& texts_;
  std::unordered_map<std::int64_t, std::uint32_t> of_id_{};
  NameNumbers numbers_{};
};

}  // namespace

NsysRanges read_nsys_ranges(const SqliteFile& file, const std::string& path,
                            const std::optional<std::string>& wanted) {
  NsysRanges read{.domain = wanted.value_or(kDefaultDomain)};
  if (!file.has_table(kTable)) return read;
  const Directory directory = read_directory(file);
  read.domain = choose_domain(directory, path, wanted);
  const auto is_own = [&](const DomainId& id) {
    if (id.second == 0) return read.domain == kDefaultDomain;
    const auto name = directory.domains.find(id);
    return name != directory.domains.end() && name->second == read.domain;
  };
  RangeNumbers numbers(directory.texts);
  read.ranges.reserve(static_cast<std::size_t>(directory.ranges));
  SqliteRows row = events(file);
  while (row.next()) {
    if (!is_range(row.integer(kType)) || !is_own(domain_of(row))) continue;
    const std::int64_t start = row.integer(kStart);
    // A range that was open when recording ended holds whatever came after its start.
    const std::int64_t end = row.optional_integer(kEnd).value_or(INT64_MAX);
    if (end < start) row.refuse(kEnd, fmt::format("is {}, before its start {}", end, start));
    read.ranges.add(static_cast<std::uint64_t>(row.optional_integer(kThread).value_or(0)), start,
                    end, numbers.number(row.text(kText), row.optional_integer(kTextId)));
  }
  read.ranges.finish();
  read.names = numbers.take();
  return read;
}

}  // namespace thermoe
