// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// Parses JSON text; `path` is only for messages. Throws FormatError for malformed text (with line
/// and column), for nesting deeper than 64 and for duplicate keys. NaN and Infinity are not JSON.
nlohmann::json parse_json(std::string_view text, const std::string& path);
/// Reads and parses a file. Throws FormatError, also when it is missing or unreadable.
nlohmann::json read_json_file(const std::string& path);

/// The one way that JSON is written, here and there: bytes that are no UTF-8, as file names and
/// device names may have, become U+FFFD. `indent` -1 is one line. Never throws for its content.
std::string json_text(const nlohmann::json& value, int indent = -1);
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);

/// Letters to insert, remove or replace to make `b` of `a`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The name in `known` nearest to `word` by edit distance, if near enough to be a likely slip.
std::optional<std::string> nearest_name(std::string_view word,
                                        const std::vector<std::string>& known);

/// Reads an object's members with errors that name the file and the key (a JSON pointer), remembers
/// what was asked for, and refuses the rest: call `finish()` last. The JSON must outlive the
/// reader.
class JsonObject {
 public:
  /// Throws FormatError unless `value` is an object.
  JsonObject(const nlohmann::json& value, std::string path, std::string key = "");

  bool has(const std::string& name) const;
  /// Whether a member has a value: there and not null. It is known to `finish` either way.
  bool given(const std::string& name) { return find(name) != nullptr; }

  /// A finite number within [low, high].
  double number(const std::string& name, double low, double high);
  double number_or(const std::string& name, double fallback, double low, double high);
  std::optional<double> optional_number(const std::string& name, double low, double high);
  /// A whole number within [low, high].
  std::int64_t integer(const std::string& name, std::int64_t low, std::int64_t high);
  std::int64_t integer_or(const std::string& name, std::int64_t fallback, std::int64_t low,
                          std::int64_t high);
  std::string string(const std::string& name);
  std::string string_or(const std::string& name, const std::string& fallback);
  /// One of `allowed`; the error lists them and names the nearest.
  std::string choice(const std::string& name, const std::vector<std::string>& allowed);
  std::string choice_or(const std::string& name, const std::string& fallback,
                        const std::vector<std::string>& allowed);
  bool boolean_or(const std::string& name, bool fallback);
  JsonObject object(const std::string& name);
  /// The elements of an array member.
  const nlohmann::json& array(const std::string& name);

  /// Marks a member as known without reading it (documentation fields).
  void ignore(const std::string& name);
  /// Throws FormatError for a member that nobody asked for, naming the nearest known name.
  void finish() const;

  const std::string& path() const { return path_; }
  /// JSON pointer of a member, for messages.
  std::string key(const std::string& name) const { return key_ + "/" + name; }

 private:
  const nlohmann::json* find(const std::string& name);
  const nlohmann::json& need(const std::string& name);

  const nlohmann::json* value_;
  std::string path_;
  std::string key_;
  std::vector<std::string> known_{};
};

}  // namespace thermoe
