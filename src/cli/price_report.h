// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/controller_config.h"
#include "cost/cost_table.h"
#include "cost/step_cost_fit.h"
#include "cost/whole_step.h"
#include "moe/stated_router.h"

namespace thermoe {

/// What a layer of these experts costs, where the cost model knows it.
struct PriceCosts {
  CostTable table;
  FitReport fit{};  ///< how firmly the costs at this batch are known
  int model_layers = 0;
  WholeStep step{};  ///< what else a step costs is in the setting's costs where it is known
};

/// What `thermoe price` prices, and how firmly the parts of it are known.
struct PriceSetting {
  std::string logits_file{};
  StatedRouter told{};              ///< by the logits file
  StatedRouter given{};             ///< by the user; what nobody stated is assumed
  std::int64_t padding_tokens = 0;  ///< taken out of the samples
  std::int64_t constant_rows = 0;   ///< still among them
  bool look_like_scores = false;    ///< the logits, which may be a sigmoid's
  double tokens = 0.0;              ///< of a step, the mean over samples
  std::string cost_model_file{};
  std::string device{};
  std::optional<PriceCosts> costs{};     ///< absent: no watts, step times or joules
  std::string missing_op{};              ///< that the cost model then lacks
  std::vector<std::string> other_ops{};  ///< expert layers that it has
  ControllerConfig config{};
  int levels = 0;  ///< of price
};

/// The remedy where the cost model lacks the op.
inline constexpr const char* kProfileIt =
    "Profile that shape and add a moe_experts entry (docs/cost-model.md).";
/// Which op the cost model lacks, and what it has.
std::string missing_costs(const PriceSetting& setting);

/// Tables for people. Foreign text in it is printable.
std::string price_text(const PriceSetting& setting);
nlohmann::json price_json(const PriceSetting& setting);

}  // namespace thermoe
