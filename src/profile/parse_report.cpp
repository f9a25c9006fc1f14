// SPDX-License-Identifier: Apache-2.0
#include "profile/parse_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "core/atomic_file.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::optional<double> mean_ns(const KernelRecord& record) {
  if (!record.total_ns) return std::nullopt;
  return static_cast<double>(*record.total_ns) / static_cast<double>(record.count);
}

Json kernel_json(const KernelRecord& record) {
  Json json = {{"name", or_null(record.name)},
               {"op", or_null(record.op)},
               {"count", record.count},
               {"total_ns", or_null(record.total_ns)},
               {"mean_ns", or_null(mean_ns(record))},
               {"min_ns", or_null(record.min_ns)},
               {"max_ns", or_null(record.max_ns)},
               {"grid", or_null(record.grid)},
               {"block", or_null(record.block)},
               {"registers", or_null(record.registers)}};
  json["energy_uj"] = record.energy ? Json(1e6 * record.energy->value) : Json();
  json["mean_power_w"] = record.mean_power ? Json(record.mean_power->value) : Json();
  json["mean_temperature_c"] =
      record.mean_temperature ? Json(record.mean_temperature->value) : Json();
  return json;
}

Json range_json(const RangeRecord& range) {
  return {{"name", range.name},
          {"domain", range.domain},
          {"count", or_null(range.count)},
          {"total_ns", or_null(range.total_ns)},
          {"kernels", range.kernels},
          {"kernel_ns", range.kernel_ns}};
}

std::string plural(std::int64_t count, const char* noun) {
  const char* ending = count == 1 ? "" : std::string_view(noun).ends_with("ch") ? "es" : "s";
  return fmt::format("{} {}{}", count, noun, ending);
}

template <class T>
std::string cell(const std::optional<T>& value, double scale, const char* format) {
  return value ? fmt::format(fmt::runtime(format), scale * static_cast<double>(*value)) : "-";
}

std::optional<double> number(const std::optional<Watts>& watts) {
  return watts ? std::optional(watts->value) : std::nullopt;
}
std::optional<double> number(const std::optional<Joules>& joules) {
  return joules ? std::optional(joules->value) : std::nullopt;
}
std::optional<double> number(const std::optional<Celsius>& celsius) {
  return celsius ? std::optional(celsius->value) : std::nullopt;
}

std::string extent_text(const std::optional<Extent>& extent) {
  if (!extent) return "-";
  const auto& [x, y, z] = *extent;
  if (z != 1) return fmt::format("{}x{}x{}", x, y, z);
  return y != 1 ? fmt::format("{}x{}", x, y) : fmt::format("{}", x);
}

/// Kernel names are templates of a hundred and more characters; what tells them apart is mostly in
/// front.
std::string short_text(const std::optional<std::string>& text, int columns) {
  if (!text) return "-";
  const std::string clean = printable(*text, true);
  return fit(clean.starts_with("void ") ? clean.substr(5) : clean, columns, true);
}

/// What a file lacks, and what that costs the reader.
struct Lack {
  std::string_view table;
  std::string_view cost;
};
constexpr Lack kLacks[] = {
    {"CUPTI_ACTIVITY_KIND_KERNEL", "no kernel was recorded: nsys profile --trace=cuda,nvtx"},
    {"CUPTI_ACTIVITY_KIND_RUNTIME",
     "no launches, so no kernel has an op: nsys profile --trace=cuda"},
    {"NVTX_EVENTS", "no ranges, so no kernel has an op: nsys profile --trace=cuda,nvtx"},
    {"StringIds", "kernels have no names"},
    {"TARGET_INFO_GPU", "the GPU has no name"},
    {"META_DATA_EXPORT", "the version of nsys is unknown"},
    {"GPU_METRICS", "no power, energy and temperature"},
    {"TARGET_INFO_GPU_METRICS", "no power, energy and temperature"},
    {"deviceProperties", "the GPU has no name"},
    {"cuda_runtime", "no launches, so no kernel has an op"},
    {"user_annotation", "ops are named by operators, not by record_function"}};

std::string lack_text(const std::string& missing) {
  const auto* known = std::ranges::find(kLacks, missing, &Lack::table);
  return known == std::end(kLacks) ? missing : fmt::format("{}: {}", missing, known->cost);
}

void add_head(const ParsedProfile& profile, std::string& text) {
  std::int64_t launches = 0, total = 0;
  for (const KernelRecord& record : profile.kernels) {
    launches += record.count;
    total += record.total_ns.value_or(0);
  }
  const std::set<std::string> devices(profile.devices.begin(), profile.devices.end());
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{} {}  {}\n", profile.tool, profile.version.value_or("(version unknown)"),
                 profile.file);
  fmt::format_to(out, "{} of {}, {:.6g} ms on the GPU{}\n", plural(launches, "kernel launch"),
                 plural(static_cast<std::int64_t>(profile.kernels.size()), "kind"),
                 1e-6 * static_cast<double>(total),
                 devices.empty() ? "" : fmt::format(" ({})", fmt::join(devices, ", ")));
}

void add_kernels(const ParsedProfile& profile, std::size_t most, std::string& text) {
  if (profile.kernels.empty()) return;
  double total = 0.0;
  bool sampled = false;
  for (const KernelRecord& record : profile.kernels) {
    total += static_cast<double>(record.total_ns.value_or(0));
    sampled = sampled || record.mean_power || record.mean_temperature;
  }
  auto out = std::back_inserter(text);
  fmt::format_to(out, "\n{:>6} {:>10} {:>8} {:>10} {:>10} {:>10} {:>12} {:>9} {:>4}", "share %",
                 "total ms", "launches", "mean us", "min us", "max us", "grid", "block", "regs");
  if (sampled) fmt::format_to(out, " {:>9} {:>7} {:>6}", "mJ", "W", "C");
  fmt::format_to(out, "  {:<24}  {}\n", "op", "kernel");
  for (std::size_t i = 0; i < std::min(most, profile.kernels.size()); ++i) {
    const KernelRecord& r = profile.kernels[i];
    const bool share = r.total_ns && total > 0.0;
    fmt::format_to(
        out, "{:>7} {:>10} {:>8} {:>10} {:>10} {:>10} {:>12} {:>9} {:>4}",
        share ? fmt::format("{:.1f}", 100.0 * static_cast<double>(*r.total_ns) / total) : "-",
        cell(r.total_ns, 1e-6, "{:.3f}"), r.count, cell(mean_ns(r), 1e-3, "{:.2f}"),
        cell(r.min_ns, 1e-3, "{:.2f}"), cell(r.max_ns, 1e-3, "{:.2f}"), extent_text(r.grid),
        extent_text(r.block), cell(r.registers, 1.0, "{:.0f}"));
    if (sampled) {
      fmt::format_to(out, " {:>9} {:>7} {:>6}", cell(number(r.energy), 1e3, "{:.3f}"),
                     cell(number(r.mean_power), 1.0, "{:.1f}"),
                     cell(number(r.mean_temperature), 1.0, "{:.1f}"));
    }
    fmt::format_to(out, "  {}  {}\n", padded(short_text(r.op, 24), 24), short_text(r.name, 60));
  }
  if (profile.kernels.size() > most) {
    fmt::format_to(out, "  and {} more: --rows {}, or --json\n", profile.kernels.size() - most,
                   profile.kernels.size());
  }
}

void add_ranges(const ParsedProfile& profile, std::size_t most, std::string& text) {
  // Those with kernels come first.
  const auto busy = static_cast<std::size_t>(std::ranges::count_if(
      profile.ranges, [](const RangeRecord& range) { return range.kernels > 0; }));
  if (profile.ranges.empty()) return;
  auto out = std::back_inserter(text);
  fmt::format_to(
      out, "\nops: ranges of the domain \"{}\", with what they and no range within them launched\n",
      printable(profile.ranges.front().domain, true));
  fmt::format_to(out, "{:>10} {:>10} {:>10} {:>12}  {}\n", "GPU ms", "kernels", "ranges", "host ms",
                 "op");
  for (std::size_t i = 0; i < std::min(most, busy); ++i) {
    const RangeRecord& r = profile.ranges[i];
    fmt::format_to(out, "{:>10.3f} {:>10} {:>10} {:>12}  {}\n",
                   1e-6 * static_cast<double>(r.kernel_ns), r.kernels, cell(r.count, 1.0, "{:.0f}"),
                   cell(r.total_ns, 1e-6, "{:.3f}"), short_text(r.name, 80));
  }
  if (busy > most) fmt::format_to(out, "  and {} more: --rows {}\n", busy - most, busy);
  if (busy < profile.ranges.size()) {
    fmt::format_to(out, "  and {} that launched no kernel themselves\n",
                   profile.ranges.size() - busy);
  }
}

void add_notes(const ParsedProfile& profile, std::string& text) {
  auto out = std::back_inserter(text);
  text += '\n';
  if (profile.tool == "ncu") {
    text +=
        "Durations of ncu are of single passes at its own clocks: compare kernels by them, and "
        "take latencies from nsys.\n";
  }
  if (profile.orphan_kernels > 0) {
    fmt::format_to(out, "{} no launch in the file (cut away, or not recorded) and so no op.\n",
                   profile.orphan_kernels == 1
                       ? "1 kernel has"
                       : fmt::format("{} kernels have", profile.orphan_kernels));
  }
  if (profile.missing.empty()) return;
  text += "Not in the file:\n";
  for (const std::string& missing : profile.missing) {
    fmt::format_to(out, "  {}\n", printable(lack_text(missing), true));
  }
}

}  // namespace

void write_json(const ParsedProfile& profile, const std::function<void(std::string_view)>& write) {
  const auto member = [&](const char* name, const Json& value, const char* end) {
    write(fmt::format(" \"{}\": {}{}", name, json_text(value), end));
  };
  const auto list = [&](const char* name, const auto& records, const auto& json_of) {
    write(fmt::format(" \"{}\": [", name));
    const char* before = "\n  ";
    for (const auto& record : records) {
      write(before + json_text(json_of(record)));
      before = ",\n  ";
    }
    write(records.empty() ? "],\n" : "\n ],\n");
  };
  write("{\n");
  member("file", profile.file, ",\n");
  member("tool", profile.tool, ",\n");
  member("version", or_null(profile.version), ",\n");
  list("kernels", profile.kernels, kernel_json);
  member("orphan_kernels", profile.orphan_kernels, ",\n");
  list("ranges", profile.ranges, range_json);
  member("missing", profile.missing, "\n}\n");
}

void write_json_file(const ParsedProfile& profile, const std::string& path) {
  std::string text;
  write_json(profile, [&](std::string_view piece) { text += piece; });
  write_file_atomically(path, text);
}

std::string to_text(const ParsedProfile& profile, std::size_t most) {
  std::string text;
  add_head(profile, text);
  add_kernels(profile, most, text);
  add_ranges(profile, most, text);
  add_notes(profile, text);
  return text;
}

}  // namespace thermoe
