// SPDX-License-Identifier: Apache-2.0
#include "measure/prometheus_counter.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

bool name_character(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == ':';
}

void skip_blanks(std::string_view& text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
}

std::string take_name(std::string_view& text) {
  const auto end = std::ranges::find_if_not(text, name_character) - text.begin();
  std::string name(text.substr(0, static_cast<std::size_t>(end)));
  text.remove_prefix(name.size());
  return name;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// A quoted value, in which \n, \" and \\ are escaped.
std::optional<std::string> take_quoted(std::string_view& text) {
  if (!take(text, '"')) return std::nullopt;
  std::string value;
  while (!text.empty()) {
    char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return value;
    if (c == '\\' && !text.empty()) {
      c = text.front() == 'n' ? '\n' : text.front();
      text.remove_prefix(1);
    }
    value += c;
  }
  return std::nullopt;
}

/// What stands in braces, or nothing at all; absent if it is malformed.
std::optional<Labels> take_labels(std::string_view& text) {
  Labels labels;
  if (!take(text, '{')) return labels;
  skip_blanks(text);
  while (!take(text, '}')) {
    std::string name = take_name(text);
    skip_blanks(text);
    if (name.empty() || !take(text, '=')) return std::nullopt;
    skip_blanks(text);
    auto value = take_quoted(text);
    if (!value) return std::nullopt;
    labels.emplace_back(std::move(name), std::move(*value));
    skip_blanks(text);
    if (take(text, ',')) {
      skip_blanks(text);
    } else if (!text.starts_with('}')) {
      return std::nullopt;
    }
  }
  return labels;
}

/// The number before an optional timestamp.
std::optional<double> leading_number(std::string_view text) {
  skip_blanks(text);
  text = text.substr(0, text.find_first_of(" \t\r"));
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value) || value < 0.0) return std::nullopt;
  return value;
}

std::string words(const CounterSelector& selector) {
  std::string text = selector.name;
  for (const auto& [name, value] : selector.labels) text += fmt::format(" {}=\"{}\"", name, value);
  return printable(text, true);
}

std::string nothing_found(const CounterSelector& selector, const std::set<std::string>& names) {
  if (names.contains(selector.name)) {
    return fmt::format("the page has {}, but not with those labels", words(selector));
  }
  const auto near = nearest_name(selector.name, {names.begin(), names.end()});
  return fmt::format("the page has no {}{}", words(selector),
                     near ? fmt::format("; did you mean {}?", *near) : "");
}

}  // namespace

CounterSelector parse_counter_selector(std::string_view text) {
  std::string_view rest = text;
  CounterSelector selector{.name = take_name(rest)};
  auto labels = take_labels(rest);
  if (selector.name.empty() || !labels || !rest.empty()) {
    throw UsageError(
        fmt::format("--units-counter {}: is not of the form NAME or NAME{{LABEL=\"VALUE\"}}, as in "
                    "vllm:generation_tokens_total",
                    printable(text, true)));
  }
  selector.labels = std::move(*labels);
  return selector;
}

CounterValue read_counter(std::string_view page, const CounterSelector& selector) {
  CounterValue sum;
  std::set<std::string> names;
  while (!page.empty()) {
    const auto end = std::min(page.find('\n'), page.size());
    std::string_view line = page.substr(0, end);
    page.remove_prefix(std::min(end + 1, page.size()));
    skip_blanks(line);
    if (line.starts_with('#')) continue;
    const std::string name = take_name(line);
    if (name.empty()) continue;
    names.insert(name);
    if (name != selector.name) continue;
    const auto labels = take_labels(line);
    if (!labels) continue;
    const bool wanted = std::ranges::all_of(selector.labels, [&](const auto& label) {
      return std::ranges::find(*labels, label) != labels->end();
    });
    if (!wanted) continue;
    const auto value = leading_number(line);
    if (!value)
      return {.fault = fmt::format("{} has no finite number of at least 0", words(selector))};
    sum.value = sum.value.value_or(0.0) + *value;
  }
  if (!sum.value) sum.fault = nothing_found(selector, names);
  return sum;
}

}  // namespace thermoe
