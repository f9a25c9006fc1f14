// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/imposed_step.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

using Experts = std::vector<int>;

// The same on every standard library, unlike std::shuffle.
template <class T>
void shuffle(std::vector<T>& values, std::mt19937_64& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random() % i]);
}

Experts shuffled(int first, int count, std::mt19937_64& random) {
  Experts all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), first);
  shuffle(all, random);
  return all;
}

/// `active` experts, dealt evenly to as few groups as hold them, but no fewer than a token reaches.
std::vector<Experts> choose_experts(const RouterSpec& router, int active, std::mt19937_64& random) {
  const int size = router.experts / router.groups;
  const int used = std::clamp((active + size - 1) / size, router.groups_kept, router.groups);
  const Experts groups = shuffled(0, router.groups, random);
  std::vector<Experts> chosen;
  for (int g = 0; g < used; ++g) {
    Experts members = shuffled(groups[static_cast<std::size_t>(g)] * size, size, random);
    members.resize(static_cast<std::size_t>(active / used + (g < active % used ? 1 : 0)));
    chosen.push_back(std::move(members));
  }
  return chosen;
}

struct TokenPicks {
  Experts reach{};  ///< chosen experts of the token's groups
  Experts picks{};  ///< k of them
};

TokenPicks pick(const RouterSpec& router, std::vector<Experts>& chosen, std::mt19937_64& random) {
  shuffle(chosen, random);
  TokenPicks token;
  for (int g = 0; g < router.groups_kept; ++g) {
    const Experts& members = chosen[static_cast<std::size_t>(g)];
    token.reach.insert(token.reach.end(), members.begin(), members.end());
  }
  shuffle(token.reach, random);
  const auto k = std::min(token.reach.size(), static_cast<std::size_t>(router.k));
  token.picks.assign(token.reach.begin(), token.reach.begin() + static_cast<std::ptrdiff_t>(k));
  return token;
}

/// Gives an expert that nobody picked the place of one that several tokens did.
void place(int expert, std::vector<TokenPicks>& tokens, std::vector<int>& loads,
           std::mt19937_64& random) {
  const std::size_t first = random() % tokens.size();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    TokenPicks& token = tokens[(first + i) % tokens.size()];
    if (std::ranges::find(token.reach, expert) == token.reach.end()) continue;
    const auto spare = std::ranges::find_if(
        token.picks, [&](int e) { return loads[static_cast<std::size_t>(e)] > 1; });
    if (spare == token.picks.end()) continue;
    --loads[static_cast<std::size_t>(*spare)];
    ++loads[static_cast<std::size_t>(expert)];
    *spare = expert;
    return;
  }
}

std::vector<TokenPicks> draw_layer(const RouterSpec& router, const ImposedStep& step,
                                   std::mt19937_64& random) {
  std::vector<Experts> chosen = choose_experts(router, step.active, random);
  std::vector<TokenPicks> tokens;
  std::vector<int> loads(static_cast<std::size_t>(router.experts), 0);
  for (int t = 0; t < step.tokens; ++t) {
    tokens.push_back(pick(router, chosen, random));
    for (const int e : tokens.back().picks) ++loads[static_cast<std::size_t>(e)];
  }
  for (const Experts& members : chosen) {
    for (const int e : members) {
      if (loads[static_cast<std::size_t>(e)] == 0) place(e, tokens, loads, random);
    }
  }
  return tokens;
}

}  // namespace

StagedStep imposed_step(const RouterSpec& router, const ImposedStep& step,
                        std::mt19937_64& random) {
  const auto most = std::min<std::int64_t>(router.experts, std::int64_t{step.tokens} * router.k);
  THERMOE_EXPECT(step.active >= router.k && step.active <= most,
                 "active={} must be within k={}..{}, what {} tokens can reach", step.active,
                 router.k, most, step.tokens);
  THERMOE_EXPECT(step.variant >= 0 && step.variant < 256, "variant {} is outside 0..255",
                 step.variant);
  StagedStep staged{
      .plan = RoutingPlan(step.layers, router.experts, router.k),
      .sample = {.layers = step.layers, .tokens = step.tokens, .experts = router.experts}};
  staged.plan.header().version = step.version;
  const auto width = static_cast<std::size_t>(router.experts);
  staged.sample.logits.assign(static_cast<std::size_t>(step.layers) * step.tokens * width,
                              std::numeric_limits<float>::quiet_NaN());
  float* row = staged.sample.logits.data();
  for (int l = 0; l < step.layers; ++l) {
    std::ranges::fill(staged.plan.variant(l), static_cast<std::uint8_t>(step.variant));
    for (const TokenPicks& token : draw_layer(router, step, random)) {
      for (const int e : token.picks) row[e] = 0x1p-23F * static_cast<float>(random() >> 40U);
      row += width;
    }
  }
  return staged;
}

}  // namespace thermoe
