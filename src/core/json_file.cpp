// SPDX-License-Identifier: Apache-2.0
#include "core/json_file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr int kMaxDepth = 64;

/// Refuses deep nesting and duplicate keys while the text is being parsed, before a tree exists.
class Guard {
 public:
  explicit Guard(const std::string& path) : path_(path) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > kMaxDepth) {
      throw FormatError(path_, "", fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end && !keys_.empty()) keys_.pop_back();
    if (event == Event::key && !keys_.empty()) {
      const auto name = parsed.get<std::string>();
      if (!keys_.back().insert(name).second) {
        throw FormatError(path_, name, "stands twice in one object; keep one");
      }
    }
    return true;
  }

 private:
  std::string path_;
  std::vector<std::set<std::string>> keys_{};
};

std::string shown(const nlohmann::json& value) {
  std::string text = value.is_structured() ? value.type_name() : value.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

nlohmann::json parse_json(std::string_view text, const std::string& path) {
  try {
    return nlohmann::json::parse(text, Guard(path));
  } catch (const nlohmann::json::exception& e) {
    std::string what = e.what();
    if (const auto at = what.find("] "); at != std::string::npos) what = what.substr(at + 2);
    throw FormatError(path, "", "not valid JSON: " + what);
  }
}

nlohmann::json read_json_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw FormatError(path, "", "cannot be opened; check the path and its permissions");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) throw FormatError(path, "", "cannot be read; is it a file?");
  return parse_json(text.str(), path);
}

std::string json_text(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_text(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::optional<std::string> nearest_name(std::string_view word,
                                        const std::vector<std::string>& known) {
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 2) + 1;
  for (const std::string& name : known) {
    const std::size_t d = edit_distance(word, name);
    if (d < least) {
      least = d;
      best = name;
    }
  }
  return best;
}

JsonObject::JsonObject(const nlohmann::json& value, std::string path, std::string key)
    : value_(&value), path_(std::move(path)), key_(std::move(key)) {
  if (!value.is_object()) {
    throw FormatError(path_, key_, fmt::format("is {}, must be an object", shown(value)));
  }
}

bool JsonObject::has(const std::string& name) const { return value_->contains(name); }

const nlohmann::json* JsonObject::find(const std::string& name) {
  known_.push_back(name);
  const auto it = value_->find(name);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

const nlohmann::json& JsonObject::need(const std::string& name) {
  const nlohmann::json* found = find(name);
  if (found == nullptr) {
    throw FormatError(
        path_, key(name),
        has(name) ? "is null; give it a value, or leave an optional field out" : "is missing");
  }
  return *found;
}

double JsonObject::number(const std::string& name, double low, double high) {
  const nlohmann::json& v = need(name);
  const double x = v.is_number() ? v.get<double>() : std::nan("");
  if (!(std::isfinite(x) && x >= low && x <= high)) {
    throw FormatError(path_, key(name),
                      fmt::format("is {}, must be a number within [{}, {}]", shown(v), low, high));
  }
  return x;
}

std::optional<double> JsonObject::optional_number(const std::string& name, double low,
                                                  double high) {
  if (find(name) == nullptr) return std::nullopt;
  return number(name, low, high);
}

double JsonObject::number_or(const std::string& name, double fallback, double low, double high) {
  return optional_number(name, low, high).value_or(fallback);
}

std::int64_t JsonObject::integer(const std::string& name, std::int64_t low, std::int64_t high) {
  const nlohmann::json& v = need(name);
  const bool whole =
      v.is_number_integer() && !(v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX);
  if (!whole || v.get<std::int64_t>() < low || v.get<std::int64_t>() > high) {
    throw FormatError(
        path_, key(name),
        fmt::format("is {}, must be a whole number within [{}, {}]", shown(v), low, high));
  }
  return v.get<std::int64_t>();
}

std::int64_t JsonObject::integer_or(const std::string& name, std::int64_t fallback,
                                    std::int64_t low, std::int64_t high) {
  return find(name) == nullptr ? fallback : integer(name, low, high);
}

std::string JsonObject::string(const std::string& name) {
  const nlohmann::json& v = need(name);
  if (!v.is_string()) {
    throw FormatError(path_, key(name), fmt::format("is {}, must be a string", shown(v)));
  }
  return v.get<std::string>();
}

std::string JsonObject::string_or(const std::string& name, const std::string& fallback) {
  return find(name) == nullptr ? fallback : string(name);
}

std::string JsonObject::choice(const std::string& name, const std::vector<std::string>& allowed) {
  std::string word = string(name);
  if (std::find(allowed.begin(), allowed.end(), word) == allowed.end()) {
    const auto near = nearest_name(word, allowed);
    throw FormatError(path_, key(name),
                      fmt::format("is \"{}\", must be one of: {}{}", word, fmt::join(allowed, ", "),
                                  near ? fmt::format(" (did you mean \"{}\"?)", *near) : ""));
  }
  return word;
}

std::string JsonObject::choice_or(const std::string& name, const std::string& fallback,
                                  const std::vector<std::string>& allowed) {
  return find(name) == nullptr ? fallback : choice(name, allowed);
}

bool JsonObject::boolean_or(const std::string& name, bool fallback) {
  const nlohmann::json* v = find(name);
  if (v == nullptr) return fallback;
  if (!v->is_boolean()) {
    throw FormatError(path_, key(name), fmt::format("is {}, must be true or false", shown(*v)));
  }
  return v->get<bool>();
}

JsonObject JsonObject::object(const std::string& name) { return {need(name), path_, key(name)}; }

const nlohmann::json& JsonObject::array(const std::string& name) {
  const nlohmann::json& v = need(name);
  if (!v.is_array()) {
    throw FormatError(path_, key(name), fmt::format("is {}, must be an array", shown(v)));
  }
  return v;
}

void JsonObject::ignore(const std::string& name) { known_.push_back(name); }

void JsonObject::finish() const {
  for (const auto& [name, value] : value_->items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const auto near = nearest_name(name, known_);
    throw FormatError(path_, key(name),
                      near ? fmt::format("is not a known field; did you mean \"{}\"?", *near)
                           : "is not a known field; remove it");
  }
}

}  // namespace thermoe
