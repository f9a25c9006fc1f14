// SPDX-License-Identifier: Apache-2.0
#include "run/schedule.h"

#include <algorithm>
#include <random>
#include <utility>

#include "core/errors.h"
#include "core/turn_name.h"

namespace thermoe {
namespace {

/// Fisher and Yates: the standard library's own shuffle differs from one to another.
void shuffle(std::vector<Strategy>& order, std::mt19937_64& random) {
  for (std::size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[random() % left]);
  }
}

}  // namespace

std::string Turn::name() const {
  return to_string(TurnName{.strategy = std::string(to_string(strategy)), .round = round + 1});
}

std::vector<Turn> schedule(int rounds, const std::vector<Strategy>& strategies,
                           std::uint64_t seed) {
  THERMOE_EXPECT(rounds >= 1, "rounds={} must be at least 1", rounds);
  std::vector<Strategy> order = strategies;
  std::stable_partition(order.begin(), order.end(),
                        [](Strategy s) { return s == Strategy::kBaseline; });
  std::mt19937_64 random(seed);
  std::vector<Turn> turns;
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) shuffle(order, random);
    for (const Strategy strategy : order) turns.push_back({.round = round, .strategy = strategy});
  }
  return turns;
}

}  // namespace thermoe
