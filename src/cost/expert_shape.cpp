// SPDX-License-Identifier: Apache-2.0
#include "cost/expert_shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {

ExpertShape expert_shape(std::string_view name) {
  static const std::vector<ExpertShape> known = {ExpertShape{}};
  const auto found = std::find_if(known.begin(), known.end(),
                                  [name](const ExpertShape& s) { return s.name == name; });
  if (found != known.end()) return *found;
  std::vector<std::string> names;
  names.reserve(known.size());
  for (const ExpertShape& s : known) names.push_back(s.name);
  const auto near = nearest_name(name, names);
  throw UsageError(fmt::format("expert shape \"{}\" is not known{}; known: {}", name,
                               near ? fmt::format(" (did you mean \"{}\"?)", *near) : "",
                               fmt::join(names, ", ")));
}

std::optional<double> published_active_experts(const ExpertShape& shape, int tokens) {
  if (shape == ExpertShape{} && tokens == 16) return 48.8;
  return std::nullopt;
}

}  // namespace thermoe
