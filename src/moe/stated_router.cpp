// SPDX-License-Identifier: Apache-2.0
#include "moe/stated_router.h"

#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

constexpr const char* kBias = "selection_bias";

std::string metadata_key(const std::string& name) { return "__metadata__/" + name; }

const std::string* find(const SafetensorsFile& file, const std::string& name) {
  const auto found = file.metadata().find(name);
  return found == file.metadata().end() ? nullptr : &found->second;
}

/// The whole text as a number, or nothing.
template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> metadata_number(const SafetensorsFile& file, const std::string& name) {
  const std::string* text = find(file, name);
  if (text == nullptr) return std::nullopt;
  const auto value = number_of<double>(*text);
  if (!value || !std::isfinite(*value)) {
    throw FormatError(file.path(), metadata_key(name),
                      fmt::format("\"{}\" is no finite number, such as 2.5", *text));
  }
  return value;
}

/// One of the names that `from` knows.
template <class T>
std::optional<T> metadata_name(const SafetensorsFile& file, const std::string& name,
                               std::optional<T> (*from)(std::string_view),
                               const std::vector<std::string>& known) {
  const std::string* text = find(file, name);
  if (text == nullptr) return std::nullopt;
  if (const auto value = from(*text)) return value;
  const bool several = text->find_first_of(",;/ ") != std::string::npos;
  const auto near = nearest_name(*text, known);
  throw FormatError(file.path(), metadata_key(name),
                    fmt::format("\"{}\" is not one of {}{}", *text, fmt::join(known, ", "),
                                several ? "; layers that differ in it go into files of their own"
                                : near  ? fmt::format("; did you mean \"{}\"?", *near)
                                        : ""));
}

/// Whether the caller, not the file, said what a key of `find_problem` names.
bool is_given(const StatedRouter& given, const std::string& key) {
  return (key == "k" && given.k) || (key == "groups" && given.groups) ||
         (key == "groups_kept" && given.groups_kept) ||
         (key == "routed_scale" && given.routed_scale);
}

[[noreturn]] void refuse(const SafetensorsFile& file, const StatedRouter& given,
                         const std::string& key, const std::string& problem) {
  if (!is_given(given, key)) {
    throw FormatError(file.path(), key == kBias ? key : metadata_key(key), problem);
  }
  const std::string flag = key == "groups_kept" ? "groups-kept" : key;
  throw UsageError(fmt::format("{}: --{}: {}", file.path(), flag, problem));
}

template <class T>
std::optional<T> first_of(const std::optional<T>& given, const std::optional<T>& told) {
  return given ? given : told;
}

}  // namespace

std::optional<int> metadata_integer(const SafetensorsFile& file, const std::string& name) {
  const std::string* text = find(file, name);
  if (text == nullptr) return std::nullopt;
  const auto value = number_of<std::int32_t>(*text);
  if (!value) {
    throw FormatError(file.path(), metadata_key(name),
                      fmt::format("\"{}\" is not a whole number, such as 8", *text));
  }
  return value;
}

StatedRouter stated_router(const SafetensorsFile& file) {
  return {
      .k = metadata_integer(file, "k"),
      .score = metadata_name(file, "score_function", score_function_from, score_function_names()),
      .groups = metadata_integer(file, "groups"),
      .groups_kept = metadata_integer(file, "groups_kept"),
      .denominator =
          metadata_name(file, "denominator", weight_denominator_from, weight_denominator_names()),
      .routed_scale = metadata_number(file, "routed_scale")};
}

std::map<std::string, std::string> router_metadata(const RouterSpec& spec) {
  return {{"k", std::to_string(spec.k)},
          {"score_function", std::string(to_string(spec.score))},
          {"groups", std::to_string(spec.groups)},
          {"groups_kept", std::to_string(spec.groups_kept)},
          {"denominator", std::string(to_string(spec.denominator))},
          {"routed_scale", fmt::format("{}", spec.routed_scale)}};
}

RouterSpec router_spec_of(const SafetensorsFile& file, int layers, int experts,
                          const StatedRouter& told, const StatedRouter& given) {
  const auto k = first_of(given.k, told.k);
  if (!k) {
    throw UsageError(
        fmt::format("{}: the file does not say how many experts each token takes; add the metadata "
                    "entry \"k\" or give --k",
                    file.path()));
  }
  RouterSpec spec{.experts = experts, .k = *k};
  spec.score = first_of(given.score, told.score).value_or(spec.score);
  spec.groups = first_of(given.groups, told.groups).value_or(spec.groups);
  const auto kept = first_of(given.groups_kept, told.groups_kept);
  if (spec.groups > 1 && !kept) {
    refuse(file, given, "groups",
           fmt::format("{} groups, but not how many of them a token keeps; say groups_kept, too",
                       spec.groups));
  }
  spec.groups_kept = kept.value_or(spec.groups_kept);
  spec.denominator = first_of(given.denominator, told.denominator).value_or(spec.denominator);
  spec.routed_scale = first_of(given.routed_scale, told.routed_scale).value_or(spec.routed_scale);
  spec.loss_scores = first_of(given.loss_scores, told.loss_scores).value_or(spec.loss_scores);
  if (file.has(kBias)) spec.selection_bias = file.floats(kBias, {layers, experts});
  if (const auto problem = find_problem(spec, layers)) {
    refuse(file, given, problem->key, problem->problem);
  }
  return spec;
}

}  // namespace thermoe
