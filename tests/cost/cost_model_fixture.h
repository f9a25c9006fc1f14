// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "cost/expert_shape.h"

namespace thermoe::testing {

/// The shape of its expert table, and of the shipped files'.
inline const ExpertShape kShape{.name = "Qwen3-30B-A3B",
                                .experts = 128,
                                .top_k = 8,
                                .d_model = 2048,
                                .d_ff = 768,
                                .layers = 48};

/// A small sound cost model, to be changed by the test that uses it. moe_experts costs are exactly
/// 10 us + 3 us D + 0.01 us (8 T - D), and 1000 uJ + 100 uJ D + 1 uJ (8 T - D).
inline nlohmann::json sound_model() {
  auto rows = nlohmann::json::array();
  for (const double tokens : {16.0, 64.0}) {
    for (const double active : {20.0, 40.0, 100.0}) {
      const double more = 8.0 * tokens - active;
      rows.push_back({{"tokens", tokens},
                      {"active_experts", active},
                      {"latency_us", 10.0 + 3.0 * active + 0.01 * more},
                      {"energy_uj", 1000.0 + 100.0 * active + 1.0 * more}});
    }
  }
  return {
      {"schema", 1},
      {"device", "Test GPU"},
      {"driver", "1.0"},
      {"clocks", {{"sm_mhz", 1980}, {"memory_mhz", 2619}}},
      {"power_definition", "whole board"},
      {"idle_active_w", 130.0},
      {"idle_cold_w", 72.0},
      {"thermal", {{"ambient_c", 25.0}, {"resistance_k_per_w", 0.05}, {"time_constant_s", 20.0}}},
      {"perturbation",
       {{"thermal", {{"reference_c", 45.0}, {"energy_per_c", 0.002}}},
        {"power", {{"limit_w", 700.0}, {"knee", 0.95}, {"slope", 8.0}}}}},
      {"entries",
       {{{"op", "moe_experts"},
         {"shape", {128, 8, 2048, 768}},
         {"dtype", "bf16"},
         {"source", "cupti"},
         {"rows", rows}},
        {{"op", "linear"},
         {"shape", {1536, 2048}},
         {"dtype", "bf16"},
         {"source", "nsys"},
         {"rows",
          {{{"tokens", 1}, {"latency_us", 6.0}, {"energy_uj", 100.0}},
           {{"tokens", 4}, {"latency_us", 9.0}, {"energy_uj", 130.0}},
           {{"tokens", 64}, {"latency_us", 21.0}, {"energy_uj", 310.0}}}}}}}};
}

}  // namespace thermoe::testing
