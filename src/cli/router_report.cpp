// SPDX-License-Identifier: Apache-2.0
#include "cli/router_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace thermoe {
namespace {

using Bases = std::vector<std::pair<std::string, std::string>>;

/// Each key of the file's metadata, with "flag", "file" or "assumed".
Bases bases(const StatedRouter& told, const StatedRouter& given) {
  const auto basis = [](const auto& flag, const auto& file) {
    return flag ? "flag" : file ? "file" : "assumed";
  };
  return {{"k", basis(given.k, told.k)},
          {"score_function", basis(given.score, told.score)},
          {"groups", basis(given.groups, told.groups)},
          {"denominator", basis(given.denominator, told.denominator)},
          {"routed_scale", basis(given.routed_scale, told.routed_scale)}};
}

std::string stated_by(const Bases& all, std::string_view basis) {
  std::vector<std::string> keys;
  for (const auto& [key, by] : all) {
    if (by == basis) keys.push_back(key);
  }
  return fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace

std::string router_text(const RouterSpec& r, const StatedRouter& told, const StatedRouter& given) {
  std::string text = fmt::format("        router: {}", to_string(r.score));
  if (!r.selection_bias.empty()) text += ", selection bias";
  if (r.groups > 1) text += fmt::format(", {} of {} groups", r.groups_kept, r.groups);
  text += fmt::format(", denominator {}", to_string(r.denominator));
  if (r.routed_scale != 1.0) text += fmt::format(", scale {:g}", r.routed_scale);
  if (!r.selection_bias.empty()) {
    text += fmt::format("; losses on {} scores", to_string(r.loss_scores));
  }
  text += '\n';
  const Bases all = bases(told, given);
  if (const std::string keys = stated_by(all, "flag"); !keys.empty()) {
    text += fmt::format("        as flags say: {}\n", keys);
  }
  if (const std::string keys = stated_by(all, "assumed"); !keys.empty()) {
    text += fmt::format("        assumed, as the file does not say: {}\n", keys);
  }
  return text;
}

nlohmann::json router_json(const RouterSpec& r, const StatedRouter& told,
                           const StatedRouter& given) {
  nlohmann::json json = {{"experts", r.experts},
                         {"k", r.k},
                         {"groups", r.groups},
                         {"groups_kept", r.groups_kept},
                         {"denominator", to_string(r.denominator)},
                         {"routed_scale", r.routed_scale},
                         {"selection_bias", !r.selection_bias.empty()},
                         {"loss_scores", to_string(r.loss_scores)}};
  for (const auto& [key, basis] : bases(told, given)) json["basis"][key] = basis;
  return json;
}

}  // namespace thermoe
