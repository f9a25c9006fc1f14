// SPDX-License-Identifier: Apache-2.0
#include "metrics/exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::string_view kTotal = "_total";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_label_name(std::string_view name) {
  return !name.empty() && is_letter(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c); });
}

bool is_metric_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c) || c == ':'; });
}

/// With a backslash before each of `marks`, a line feed written as \n, and every byte readable.
std::string escaped(std::string_view text, std::string_view marks) {
  std::string out;
  for (const char c : printable_lines(text)) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (marks.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string_view type_name(MetricType type) {
  switch (type) {
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kCounter:
      return "counter";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0.0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);  // shortest that reads back the same
}

std::string labels(const MetricSample& sample, std::string_view family) {
  if (sample.labels.empty()) return "";
  std::string out;
  for (const auto& [name, value] : sample.labels) {
    THERMOE_EXPECT(is_label_name(name), "metric {}: label \"{}\" is no [a-zA-Z_][a-zA-Z0-9_]*",
                   family, name);
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "{" : ",", name, escaped(value, "\\\""));
  }
  return out + "}";
}

void check_name(const MetricFamily& family) {
  THERMOE_EXPECT(is_metric_name(family.name), "metric \"{}\" is no [a-zA-Z_:][a-zA-Z0-9_:]*",
                 family.name);
  THERMOE_EXPECT((family.type == MetricType::kCounter) == family.name.ends_with(kTotal),
                 "metric {}: a counter's name, and no other, ends in {}", family.name, kTotal);
}

}  // namespace

ExpositionFormat accepted_format(std::string_view accept) {
  const bool open = accept.find("application/openmetrics-text") != std::string_view::npos;
  return open ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kText;
}

std::string_view content_type(ExpositionFormat format) {
  return format == ExpositionFormat::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

std::string exposition(const std::vector<MetricFamily>& families, ExpositionFormat format) {
  const bool open = format == ExpositionFormat::kOpenMetrics;
  std::string page;
  for (const MetricFamily& family : families) {
    check_name(family);
    if (family.samples.empty()) continue;
    const bool counter = family.type == MetricType::kCounter;
    // OpenMetrics names a counter without the ending that its samples have.
    std::string_view name = family.name;
    if (open && counter) name.remove_suffix(kTotal.size());
    fmt::format_to(std::back_inserter(page), "# HELP {0} {1}\n# TYPE {0} {2}\n", name,
                   escaped(family.help, open ? "\\\"" : "\\"), type_name(family.type));
    for (const MetricSample& sample : family.samples) {
      page += fmt::format("{}{}{} {}\n", family.name, sample.suffix, labels(sample, family.name),
                          number(sample.value));
    }
  }
  if (open) page += "# EOF\n";
  return page;
}

}  // namespace thermoe
