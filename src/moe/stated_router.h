// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/router_spec.h"
#include "moe/safetensors.h"

namespace thermoe {

/// What somebody states of a model's router: a logit file in its metadata, a user with flags. What
/// is absent nobody stated.
struct StatedRouter {
  std::optional<int> k{};
  std::optional<ScoreFunction> score{};
  std::optional<int> groups{};
  std::optional<int> groups_kept{};
  std::optional<WeightDenominator> denominator{};
  std::optional<double> routed_scale{};
  std::optional<LossScores> loss_scores{};  ///< a choice of ours, in no file
};

/// What the metadata of a logit file state: entries "k", "score_function", "groups", "groups_kept",
/// "denominator" and "routed_scale", by the names of core/router_spec.h. Throws FormatError for
/// values that are none.
StatedRouter stated_router(const SafetensorsFile& file);

/// Those entries of a spec.
std::map<std::string, std::string> router_metadata(const RouterSpec& spec);

/// A whole number of the metadata, if the entry is there. Throws FormatError where it is none.
std::optional<int> metadata_integer(const SafetensorsFile& file, const std::string& name);

/// The router of a file's logits: what is `given`, else what the file `told`, else k picks of a
/// plain softmax; beta is the tensor `selection_bias` [layers, experts], if there is one. Throws
/// FormatError or, for what is given, UsageError where no router of that shape is such, and
/// UsageError where k is not known.
RouterSpec router_spec_of(const SafetensorsFile& file, int layers, int experts,
                          const StatedRouter& told, const StatedRouter& given);

}  // namespace thermoe
