// SPDX-License-Identifier: Apache-2.0
// The instances and their optima are tools/clarabel_instances.py's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "control/shadow_prices.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

CappedResource resource_of(const nlohmann::json& json) {
  CappedResource r{.cap = json.at("cap"),
                   .constant = json.at("constant"),
                   .price_ceiling = json.at("price_ceiling"),
                   .curve_of = json.at("curve_of").get<std::vector<std::uint8_t>>(),
                   .device_of = json.at("device_of").get<std::vector<std::uint8_t>>()};
  for (const nlohmann::json& c : json.at("curves"))
    r.curves.push_back({c.at("corner"), c.at("value"), c.at("slope")});
  return r;
}

TEST(ShadowPrices, AreThoseOfTheOptimumThatClarabelFinds) {
  const nlohmann::json file =
      read_json_file(THERMOE_SOURCE_DIR "/tests/control/clarabel_instances.json");
  int priced = 0, out_of_reach = 0;
  for (const nlohmann::json& json : file.at("instances")) {
    SCOPED_TRACE(json.at("name").get<std::string>());
    std::vector<float> scores = json.at("scores").get<std::vector<float>>();
    for (float& v : scores) v /= 1024.0F;
    PriceProblem p{.layers = json.at("layers"),
                   .tokens = json.at("tokens"),
                   .experts = json.at("experts"),
                   .k = json.at("k"),
                   .scores = scores,
                   .tau = json.at("tau")};
    for (const nlohmann::json& r : json.at("resources")) p.resources.push_back(resource_of(r));
    WarmStart start;
    const ShadowPrices s = solve_prices(p, {.gap = 5e-7}, start);
    // Out of reach prices are at their ceiling, and what they multiply is summed in float.
    const double sure = s.feasible() ? 1e-6 : 2e-6;
    EXPECT_TRUE(s.converged || s.gap() < 0.75 * sure)
        << "gap " << s.gap() << " after " << s.sweeps << " sweeps";
    const auto rows = static_cast<double>(s.rows);
    const double optimum = json.at("optimum");
    EXPECT_NEAR(s.primal / rows, optimum / rows, sure);
    EXPECT_NEAR(s.dual / rows, optimum / rows, sure);
    // docs/theory.md eq. (20), and what a layer's tokens may differ by together.
    const double apart = std::sqrt(p.tokens * 1e-6 * rows / (2.0 * p.tau));
    const auto load = json.at("load").get<std::vector<double>>();
    for (std::size_t c = 0; c < load.size(); ++c) EXPECT_NEAR(s.load[c], load[c], apart);
    priced += *std::max_element(s.resource_price.begin(), s.resource_price.end()) > 0.0 ? 1 : 0;
    out_of_reach += s.feasible() ? 0 : 1;
  }
  EXPECT_GE(priced, 30);
  EXPECT_GE(out_of_reach, 12);
}

}  // namespace
}  // namespace thermoe
