// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "control/active_mask.h"
#include "core/json_file.h"
#include "synthetic_router.h"

namespace thermoe::testing {

inline constexpr int kToyLayers = 4, kToyExperts = 128, kToyPicks = 8, kToyTokens = 16;

/// A configuration on a simulated GPU, in the caller's time; `changes` are merged into it.
inline nlohmann::json toy_json(const std::string& changes = "{}") {
  const std::string data = std::string(THERMOE_SOURCE_DIR) + "/data/h100/";
  nlohmann::json json = {
      {"model", {{"layers", kToyLayers}, {"experts", kToyExperts}, {"k", kToyPicks}}},
      {"targets", {{"power_w", 280}}},
      {"cost_model", data + "kernel_cost_model.json"},
      {"costed_as", "Qwen3-30B-A3B"},
      {"telemetry",
       {{"source", "simulated"},
        {"plant", data + "plant.json"},
        {"cost_model", data + "plant_cost_model.json"}}},
      {"control", {{"thread", false}, {"step_period_s", 0.016}, {"calibration_samples", 4}}}};
  json.merge_patch(parse_json(changes, "changes"));
  return json;
}
inline std::string toy_config(const std::string& changes = "{}") {
  return toy_json(changes).dump();
}

/// An engine's model: random gate logits, routed as it is told to.
class ToyModel {
 public:
  struct Step {
    LogitSample sample{};
    RoutingStats stats{};
  };

  Step by_plan(const RoutingPlan& plan) {
    LogitSample sample = source_.next();
    RoutingStats stats = routed_by(plan, utilities(sample));
    return {std::move(sample), std::move(stats)};
  }
  Step by_mask(std::span<const std::uint8_t> mask) {
    LogitSample sample = source_.next();
    RoutingStats stats = routed_among(mask, utilities(sample));
    return {std::move(sample), std::move(stats)};
  }

 private:
  static std::shared_ptr<const Utilities> utilities(const LogitSample& sample) {
    return std::make_shared<const Utilities>(sample,
                                             RouterSpec{.experts = kToyExperts, .k = kToyPicks});
  }

  LogitSource source_{kToyLayers, kToyTokens, kToyExperts, 7};
};

}  // namespace thermoe::testing
