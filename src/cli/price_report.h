// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "control/controller_config.h"
#include "cost/cost_table.h"
#include "cost/step_cost_fit.h"

namespace thermoe {

/// What `thermoe price` prices, and how firmly the parts of it are known.
struct PriceSetting {
  std::string logits_file{};
  bool softmax_told = false;        ///< by the logits file; otherwise assumed
  std::int64_t padding_tokens = 0;  ///< taken out of the samples
  std::int64_t constant_rows = 0;   ///< still among them
  bool look_like_scores = false;    ///< the logits, which may be a sigmoid's
  double tokens = 0.0;              ///< of a step, the mean over samples
  std::string cost_model_file{};
  std::string device{};
  CostTable table;
  int model_layers = 0;
  FitReport fit{};  ///< how firmly the costs at this batch are known
  ControllerConfig config{};
  int levels = 0;  ///< of price
};

/// Tables for people. Foreign text in it is printable.
std::string price_text(const PriceSetting& setting);
nlohmann::json price_json(const PriceSetting& setting);

}  // namespace thermoe
