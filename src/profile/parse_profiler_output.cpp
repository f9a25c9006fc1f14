// SPDX-License-Identifier: Apache-2.0
#include "profile/parse_profiler_output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "core/csv_cells.h"
#include "core/errors.h"
#include "profile/kineto_trace.h"
#include "profile/ncu_csv.h"
#include "profile/nsys_export.h"

namespace thermoe {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kSqlite = "SQLite format 3\0"sv;

std::string first_bytes(const std::string& path) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none)) {
    throw FormatError(path, "", "is a folder; name the file in it");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) throw FormatError(path, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  std::array<char, 4096> bytes{};
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (in.gcount() == 0) {
    throw FormatError(path, "", "is empty: the profiler wrote nothing; record again");
  }
  return {bytes.data(), static_cast<std::size_t>(in.gcount())};
}

/// The command that makes a readable file of a report of this name; empty for others.
std::string conversion_of(const std::string& path) {
  const std::string suffix = std::filesystem::path(path).extension().string();
  if (suffix == ".nsys-rep" || suffix == ".qdrep") {
    return fmt::format("is a report of nsys; export it: nsys export --type sqlite -o OUT.sqlite {}",
                       path);
  }
  if (suffix == ".ncu-rep") {
    return fmt::format(
        "is a report of ncu; print it: LC_ALL=C ncu --import {} --csv --page raw --print-units "
        "base > OUT.csv",
        path);
  }
  return "";
}

bool is_text(std::string_view bytes) { return bytes.find('\0') == std::string_view::npos; }

std::string_view without_blank_start(std::string_view text) {
  text = without_byte_order_mark(text);
  const std::size_t from = text.find_first_not_of(" \t\r\n");
  return from == std::string_view::npos ? "" : text.substr(from);
}

ParsedProfile parse_any(const std::string& path, const ParseOptions& options) {
  const std::string bytes = first_bytes(path);
  if (bytes.starts_with(kSqlite)) return parse_nsys_export(path, options);
  if (bytes.starts_with("\x1F\x8B")) return parse_kineto_trace(path, options);
  if (const std::string remedy = conversion_of(path); !remedy.empty()) {
    throw FormatError(path, "", remedy);
  }
  const std::string_view start = without_blank_start(bytes);
  if (start.starts_with('{') || start.starts_with('[')) return parse_kineto_trace(path, options);
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) {
    throw FormatError(path, "", "is UTF-16; make it UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW");
  }
  if (is_text(bytes)) return parse_ncu_csv(path, options);
  throw FormatError(
      path, "",
      "is no SQLite database, CSV of ncu or trace of torch.profiler: it is encrypted, "
      "cut off at its start, or of another kind");
}

}  // namespace

ParsedProfile parse_profiler_output(const std::string& path, const ParseOptions& options) {
  ParsedProfile profile = parse_any(path, options);
  const bool sampled = std::ranges::any_of(profile.kernels, [](const KernelRecord& record) {
    return record.mean_power || record.mean_temperature;
  });
  if (options.samples && !sampled) {
    profile.missing.push_back(
        fmt::format("samples: none in {} surround a kernel; was it recorded meanwhile, on the same "
                    "machine?",
                    *options.samples));
  }
  return profile;
}

}  // namespace thermoe
