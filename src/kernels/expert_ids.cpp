// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_ids.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <span>

#include "core/errors.h"

namespace thermoe {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr double kUnevenness = 0.5;  // of the logarithm of popularity

/// `count` of 0 .. below - 1, each as likely.
Ids drawn(int count, int below, std::mt19937& random) {
  Ids all(static_cast<std::size_t>(below));
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<std::size_t>(count));
  return all;
}

/// The places of the k largest of popularity + Gumbel noise: k different draws.
void draw_token(std::span<std::int32_t> row, const std::vector<double>& popularity,
                std::mt19937& random) {
  std::exponential_distribution<double> exponential(1.0);
  std::vector<double> key(popularity.size());
  for (std::size_t e = 0; e < key.size(); ++e)
    key[e] = popularity[e] - std::log(exponential(random));
  Ids order(key.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(row.size()),
                    order.end(), [&](std::int32_t a, std::int32_t b) {
                      return key[static_cast<std::size_t>(a)] > key[static_cast<std::size_t>(b)];
                    });
  std::copy_n(order.begin(), row.size(), row.begin());
}

/// Gives each expert without a token a place of the busiest.
void wake_all(Ids& ids, std::vector<int>& load) {
  for (std::size_t e = 0; e < load.size(); ++e) {
    if (load[e] > 0) continue;
    const auto busiest = std::ranges::max_element(load);  // has 2 at least, as active <= picks
    // Nobody has e, so no token gets it twice.
    *std::ranges::find(ids, static_cast<std::int32_t>(busiest - load.begin())) =
        static_cast<std::int32_t>(e);
    --*busiest;
    load[e] = 1;
  }
}

}  // namespace

std::vector<std::int32_t> ids_of_breadth(const Breadth& b, unsigned seed) {
  THERMOE_EXPECT(
      b.k >= 1 && b.active >= 1 && b.active <= b.experts && b.active <= b.tokens * b.k,
      "active={} must be from 1 to experts={} and at most tokens * k = {}, and k={} positive",
      b.active, b.experts, b.tokens * b.k, b.k);
  const auto row = static_cast<std::size_t>(b.k);
  const auto picks = static_cast<std::size_t>(std::min(b.k, b.active));
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, kUnevenness);
  const Ids experts = drawn(b.active, b.experts, random);
  std::vector<double> popularity(experts.size());
  for (double& p : popularity) p = normal(random);
  Ids ids(static_cast<std::size_t>(b.tokens) * row, -1);
  std::vector<int> load(experts.size());
  for (std::size_t first = 0; first < ids.size(); first += row) {
    const auto token = std::span(ids).subspan(first, picks);
    draw_token(token, popularity, random);
    for (const std::int32_t e : token) ++load[static_cast<std::size_t>(e)];
  }
  wake_all(ids, load);
  for (std::int32_t& e : ids) {
    if (e >= 0) e = experts[static_cast<std::size_t>(e)];
  }
  return ids;
}

}  // namespace thermoe
