// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "core/json_file.h"
#include "cost/kernel_cost_model.h"
#include "engine/c_boundary.h"
#include "engine/sized_struct.h"
#include "engine/thermoe.h"

struct thermoe_costs {
  thermoe::KernelCostModel model;
  std::string text{};  // what was given out last
};

namespace {

using namespace thermoe;
using Json = nlohmann::ordered_json;

static_assert(static_cast<int>(Basis::kMeasured) == THERMOE_MEASURED &&
              static_cast<int>(Basis::kInterpolated) == THERMOE_INTERPOLATED &&
              static_cast<int>(Basis::kExtrapolated) == THERMOE_EXTRAPOLATED);

thermoe_costs& given(thermoe_costs* costs) {
  need(costs != nullptr, "the costs are NULL; use those that thermoe_costs_open gave");
  return *costs;
}

std::string description(const KernelCostModel& model) {
  const CostModelHeader& header = model.header();
  Json json{{"device", header.device},
            {"driver", header.driver},
            {"idle_active_w", header.active_idle.value},
            {"idle_cold_w", header.cold_idle.value},
            {"models", Json::array()},
            {"tables", Json::array()}};
  for (const ExpertShape& shape : header.models) {
    json["models"].push_back({{"name", shape.name},
                              {"layers", shape.layers},
                              {"gated", shape.gated},
                              {"shape", {shape.experts, shape.top_k, shape.d_model, shape.d_ff}}});
  }
  for (const CostTable& table : model.tables()) {
    const OpKey& key = table.key();
    json["tables"].push_back({{"op", key.op}, {"shape", key.shape}, {"dtype", key.dtype}});
  }
  return json_text(json);
}

}  // namespace

extern "C" {

thermoe_status thermoe_costs_open(const char* path, thermoe_costs** costs) {
  return guarded([&] {
    need(path != nullptr && costs != nullptr,
         "thermoe_costs_open needs a path and a place for the costs");
    *costs = new thermoe_costs{.model = KernelCostModel::load(path)};
  });
}

void thermoe_costs_close(thermoe_costs* costs) { delete costs; }

thermoe_status thermoe_costs_describe(thermoe_costs* costs, const char** json) {
  return guarded([&] {
    thermoe_costs& c = given(costs);
    need(json != nullptr, "thermoe_costs_describe needs a place for its text");
    c.text = description(c.model);
    *json = c.text.c_str();
  });
}

thermoe_status thermoe_costs_layer(thermoe_costs* costs, const int32_t shape[4], int32_t gated,
                                   const char* dtype, double tokens, double active,
                                   struct thermoe_cost* cost) {
  return guarded([&] {
    thermoe_costs& c = given(costs);
    need(shape != nullptr && dtype != nullptr, "thermoe_costs_layer needs a shape and a dtype");
    need(std::isfinite(tokens) && std::isfinite(active) && tokens >= 0.0 && active >= 0.0,
         "tokens and active are numbers, 0 or more");
    size_of_given(cost, sizeof *cost, "thermoe_cost");
    const Lookup found = c.model.layer({.experts = shape[0],
                                        .top_k = shape[1],
                                        .d_model = shape[2],
                                        .d_ff = shape[3],
                                        .gated = gated != 0},
                                       dtype, tokens, active);
    write_sized(cost,
                thermoe_cost{.size = 0,
                             .latency_s = found.cost.latency.value,
                             .energy_j = found.cost.energy.value,
                             .basis = static_cast<std::int32_t>(found.basis),
                             .reserved = 0},
                sizeof *cost, "thermoe_cost");
  });
}

}  // extern "C"
