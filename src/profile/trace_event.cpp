// SPDX-License-Identifier: Apache-2.0
#include "profile/trace_event.h"

#include <cmath>
#include <cstdlib>
#include <istream>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "profile/packed_stream.h"

namespace thermoe {
namespace {

constexpr std::size_t kDeepest = 64;

/// Follows the parser through the trace. Of everything but events, their args and the devices it
/// only counts the depth.
class TraceReader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  TraceReader(const std::string& path, PackedStream& in,
              const std::function<void(const TraceEvent&, std::int64_t)>& visit)
      : path_(path), in_(in), visit_(visit) {}

  TraceHeader take_header() { return std::move(header_); }

  bool null() { return plain(); }
  bool boolean(bool /*value*/) { return plain(); }
  bool binary(binary_t& /*value*/) { return plain(); }
  bool number_integer(number_integer_t value) { return number(value, std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) {
    const bool fits = value <= static_cast<number_unsigned_t>(INT64_MAX);
    return number(fits ? std::optional(static_cast<std::int64_t>(value)) : std::nullopt,
                  std::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& text) {
    const bool whole = std::trunc(value) == value && std::abs(value) < 9e15;
    return number(whole ? std::optional(static_cast<std::int64_t>(value)) : std::nullopt, text);
  }

  bool string(string_t& value) {
    in_.mark();
    if (at() == Place::kEvent) {
      if (key_ == "ph") event_.phase = value;
      if (key_ == "cat") event_.category = value;
      if (key_ == "name") event_.name = value;
      // Some name a process or thread; what is told apart by it is told apart by its hash.
      const auto hash = static_cast<std::int64_t>(std::hash<std::string>{}(value));
      if (key_ == "pid") event_.process = hash;
      if (key_ == "tid") event_.thread = hash;
    } else if (at() == Place::kDevice && key_ == "name") {
      header_.devices.push_back(value);
    }
    return true;
  }

  bool key(string_t& value) {
    in_.mark();
    key_ = value;
    return true;
  }

  bool start_object(std::size_t /*size*/) {
    Place next = Place::kOther;
    if (places_.empty()) {
      next = Place::kRoot;
    } else if (at() == Place::kEvents) {
      next = Place::kEvent;
      event_ = TraceEvent{};
      ++events_;
    } else if (at() == Place::kEvent && key_ == "args") {
      next = Place::kArgs;
    } else if (at() == Place::kDevices) {
      next = Place::kDevice;
    }
    return enter(next);
  }

  bool end_object() {
    const bool event = at() == Place::kEvent;
    places_.pop_back();
    if (event) visit_(event_, events_ - 1);
    return plain();
  }

  bool start_array(std::size_t /*size*/) {
    Place next = Place::kOther;
    if (places_.empty()) {  // a trace may be its events alone
      next = Place::kEvents;
      header_.has_events = true;
    } else if (at() == Place::kRoot && key_ == "traceEvents") {
      next = Place::kEvents;
      header_.has_events = true;
    } else if (at() == Place::kRoot && key_ == "deviceProperties") {
      next = Place::kDevices;
    } else if (at() == Place::kArgs && (key_ == "grid" || key_ == "block")) {
      next = key_ == "grid" ? Place::kGrid : Place::kBlock;
    }
    return enter(next);
  }

  bool end_array() {
    places_.pop_back();
    return plain();
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& error) {
    std::string what = error.what();
    if (const auto from = what.find("] "); from != std::string::npos) what = what.substr(from + 2);
    throw FormatError(path_, fmt::format("byte {}", position),
                      fmt::format("is no whole JSON ({}); record the trace again, and end the "
                                  "profiler before the program ends",
                                  what.substr(0, 200)));
  }

 private:
  enum class Place { kRoot, kEvents, kEvent, kArgs, kGrid, kBlock, kDevices, kDevice, kOther };

  Place at() const { return places_.empty() ? Place::kOther : places_.back(); }

  bool plain() {
    in_.mark();
    return true;
  }

  bool enter(Place place) {
    if (places_.size() >= kDeepest) {
      throw FormatError(path_, "", fmt::format("nested deeper than {} levels", kDeepest));
    }
    places_.push_back(place);
    return plain();
  }

  /// A number, whole if it is, and its text.
  bool number(std::optional<std::int64_t> whole, const std::string& text) {
    switch (at()) {
      case Place::kEvent:
        if (key_ == "ts") event_.start_ns = time(text);
        if (key_ == "dur") event_.duration_ns = time(text);
        if (key_ == "pid") event_.process = whole;
        if (key_ == "tid") event_.thread = whole;
        break;
      case Place::kArgs:
        if (key_ == "correlation") event_.correlation = whole;
        if (key_ == "device") event_.device = whole;
        if (key_ == "registers per thread") event_.registers = whole;
        break;
      case Place::kGrid:
        add_size(event_.grid, whole);
        break;
      case Place::kBlock:
        add_size(event_.block, whole);
        break;
      case Place::kRoot:
        if (key_ == "schemaVersion") header_.schema = whole;
        if (key_ == "baseTimeNanoseconds") header_.base_ns = whole;
        break;
      default:
        break;
    }
    return plain();
  }

  static void add_size(std::vector<std::int64_t>& sizes, std::optional<std::int64_t> size) {
    if (size && sizes.size() < 4) sizes.push_back(*size);
  }

  std::int64_t time(const std::string& text) const {
    if (const auto ns = trace_time(text)) return *ns;
    throw FormatError(path_, fmt::format("/traceEvents/{}/{}", events_ - 1, key_),
                      fmt::format("is {}, must be microseconds below 9e15", text.substr(0, 40)));
  }

  const std::string& path_;
  PackedStream& in_;
  const std::function<void(const TraceEvent&, std::int64_t)>& visit_;
  TraceHeader header_{};
  TraceEvent event_{};
  std::vector<Place> places_{};
  std::string key_{};
  std::int64_t events_ = 0;
};

}  // namespace

std::optional<std::int64_t> trace_time(const std::string& text) {
  constexpr std::int64_t kMost = INT64_MAX / 1000 - 1;
  std::size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
  const bool negative = at == 1;
  std::int64_t micro = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    if (micro > kMost / 10) return std::nullopt;
    micro = 10 * micro + (text[at] - '0');
  }
  std::int64_t nano = 0;
  if (at < text.size() && text[at] == '.') {
    std::int64_t unit = 1000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      unit /= 10;
      if (unit > 0) nano += unit * (text[at] - '0');
    }
  }
  if (at < text.size()) {  // an exponent
    const double value = 1e3 * std::strtod(text.c_str(), nullptr);
    if (!(std::abs(value) < 9e18)) return std::nullopt;
    return std::llround(value);
  }
  if (micro > kMost) return std::nullopt;
  const std::int64_t ns = 1000 * micro + nano;
  return negative ? -ns : ns;
}

TraceHeader read_trace_events(const std::string& path,
                              const std::function<void(const TraceEvent&, std::int64_t)>& visit) {
  PackedStream packed(path);
  std::istream in(&packed);
  in.exceptions(std::ios::badbit);  // what the stream throws is not swallowed
  TraceReader reader(path, packed, visit);
  nlohmann::json::sax_parse(in, &reader);
  return reader.take_header();
}

}  // namespace thermoe
