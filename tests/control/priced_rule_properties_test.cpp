// SPDX-License-Identifier: Apache-2.0
// What holds for the rule that runs, on random logits. The same of the kernel:
// tests/kernels/topk_route_properties_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>

#include "control/demand.h"
#include "control/plan_writer.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;
using testing::ReferenceRouter;

constexpr int kLayers = 2, kTokens = 16, kExperts = 48, kK = 4;
constexpr std::uint32_t kSeeds = 12;
const RouterSpec kRouter{.experts = kExperts, .k = kK};

/// Some experts of a precision at a third of the cost.
std::vector<std::uint8_t> mixed_precision(std::mt19937& random) {
  std::vector<std::uint8_t> variant(kLayers * kExperts);
  for (std::uint8_t& v : variant) v = random() % 3 == 0 ? 1 : 0;
  return variant;
}
StepCost two_precisions() {
  StepCost costs = h100_like(kLayers);
  costs.variants.push_back(CostCurve({{1.0, {Seconds(1e-6), Joules(4e-4), Celsius(0.1)}}}));
  return costs;
}

struct Case {
  LogitSample sample{};
  PricingParameters parameters{};
};

Case random_case(std::uint32_t seed) {
  std::mt19937 random(seed);
  Case c{.sample = LogitSource(kLayers, kTokens, kExperts, seed).next(),
         .parameters = {.k = kK, .k_min = 1 + static_cast<int>(seed % 2)}};
  std::uniform_real_distribution<float> bias(-0.05F, 0.05F), price(0.5F, 2.0F);
  for (int i = 0; i < kLayers * kExperts; ++i) {
    if (seed % 3 != 0) c.parameters.bias.push_back(bias(random));
    c.parameters.unit_price.push_back(price(random));
  }
  return c;
}

PricedSample priced(const Case& c) {
  return {std::make_shared<const Utilities>(c.sample, kRouter), c.parameters};
}

/// Prices away from those at which an expert drops out: rounding decides nothing there.
std::vector<double> clear_prices(const PricedSample& sample) {
  std::vector<double> prices;
  const std::vector<float>& at = sample.thresholds();
  for (std::size_t i = 0; i + 1 < at.size(); i += 5) {
    if (at[i + 1] > at[i] + 1e-4F) prices.push_back(0.5 * (double{at[i]} + at[i + 1]));
  }
  return prices;
}

TEST(PricedRule, AShiftOfATokensLogitsChangesNoBit) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Case c = random_case(seed);
    // On a grid and by whole numbers, as then no sum of logits is rounded.
    for (float& x : c.sample.logits) x = std::round(256.0F * x) / 256.0F;
    const PricedSample before = priced(c);
    std::mt19937 random(seed);
    for (std::size_t row = 0; row < c.sample.logits.size() / kExperts; ++row) {
      const auto shift = static_cast<float>(static_cast<int>(random() % 64) - 32);
      for (int e = 0; e < kExperts; ++e) c.sample.logits[row * kExperts + e] += shift;
    }
    const PricedSample after = priced(c);
    EXPECT_EQ(before.thresholds(), after.thresholds()) << "seed " << seed;
    for (const double lambda : {0.0, 0.05, 0.2, 1.0}) {
      EXPECT_EQ(before.loads(lambda).counts, after.loads(lambda).counts) << "seed " << seed;
      EXPECT_EQ(before.loads(lambda).kept_mass, after.loads(lambda).kept_mass) << "seed " << seed;
    }
  }
}

TEST(PricedRule, RenamedExpertsKeepTheirLoads) {
  int tried = 0;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    const Case c = random_case(seed);
    std::vector<std::size_t> name(kExperts);
    std::iota(name.begin(), name.end(), 0);
    std::shuffle(name.begin(), name.end(), std::mt19937(seed));
    Case renamed = c;
    const auto rename = [&](auto& to, const auto& from) {
      for (std::size_t i = 0; i < from.size(); ++i)
        to[i / kExperts * kExperts + name[i % kExperts]] = from[i];
    };
    rename(renamed.sample.logits, c.sample.logits);
    rename(renamed.parameters.bias, c.parameters.bias);
    rename(renamed.parameters.unit_price, c.parameters.unit_price);
    const PricedSample before = priced(c), after = priced(renamed);
    for (const double lambda : clear_prices(before)) {
      const RoutingStats old = before.loads(lambda), now = after.loads(lambda);
      std::vector<std::int32_t> expected(old.counts.size());
      rename(expected, old.counts);
      EXPECT_EQ(now.counts, expected) << "seed " << seed << " lambda " << lambda;
      EXPECT_NEAR(now.kept_mass, old.kept_mass, 1e-5);
      ++tried;
    }
  }
  EXPECT_GE(tried, 50);
}

TEST(PricedRule, ADearerExpertNeverGainsLoad) {
  int lost = 0;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    const Case c = random_case(seed);
    const PricedSample before = priced(c);
    for (std::size_t cell = 0; cell < kLayers * kExperts; cell += 3) {
      Case dearer = c;
      dearer.parameters.unit_price[cell] *= 1.7F;
      const PricedSample after = priced(dearer);
      for (const double lambda : {0.02, 0.1, 0.3}) {
        const int old = before.loads(lambda).counts[cell], now = after.loads(lambda).counts[cell];
        EXPECT_LE(now, old) << "seed " << seed << " cell " << cell << " lambda " << lambda;
        lost += now < old ? 1 : 0;
      }
    }
  }
  EXPECT_GE(lost, 20);
}

TEST(PricedRule, AnExpertOfAHigherBiasNeverGainsLoadWithoutPrices) {
  int lost = 0;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Case c = random_case(seed);
    c.parameters.bias.resize(kLayers * kExperts, 0.0F);
    const std::vector<std::int32_t> before = priced(c).loads(0.0).counts;
    for (std::size_t cell = 0; cell < kLayers * kExperts; cell += 3) {
      Case dearer = c;
      dearer.parameters.bias[cell] += 0.1F;
      const int now = priced(dearer).loads(0.0).counts[cell];
      EXPECT_LE(now, before[cell]) << "seed " << seed << " cell " << cell;
      lost += now < before[cell] ? 1 : 0;
    }
  }
  EXPECT_GE(lost, 20);
}

TEST(PricedRule, ActiveExpertsNeverRiseWithLambda) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    const PricedSample sample = priced(random_case(seed));
    std::vector<int> last(kLayers, kExperts);
    const double plain = sample.loads(0.0).mean_active();
    for (double lambda = 0.0; lambda < 2.0; lambda += 0.02) {
      const RoutingStats now = sample.loads(lambda);
      for (int l = 0; l < kLayers; ++l) {
        EXPECT_LE(now.active(l), last[l]) << "seed " << seed << " lambda " << lambda;
        last[l] = now.active(l);
      }
    }
    EXPECT_LT(sample.loads(2.0).mean_active(), plain);
  }
}

TEST(PricedRule, ALambdaOfZeroIsTheBaselineBitForBit) {
  const ControllerConfig config{.layers = kLayers, .router = kRouter, .costs = h100_like(kLayers)};
  const RoutingPlan baseline = baseline_plan_of(config);
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Case c = random_case(seed);
    c.parameters.bias.clear();
    // Full of ties, where an expert can be lost at no loss: it stays all the same.
    if (seed % 2 == 0) {
      for (float& x : c.sample.logits) x = std::round(2.0F * x) / 2.0F;
    }
    const RoutingPlan plan = priced_plan(config, c.parameters, 0.0);
    const LayerPlan& rule = plan.layer(0);
    EXPECT_EQ(rule.k, kK);
    for (int l = 0; l < kLayers; ++l) {
      const auto same = [](std::span<const float> a, std::span<const float> b) {
        return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
      };
      EXPECT_TRUE(same(plan.selection_bias(l), baseline.selection_bias(l)));
      EXPECT_TRUE(same(plan.activation_price(l), baseline.activation_price(l)));
    }
    const RoutingStats at_zero = priced(c).loads(0.0);
    const auto utilities = std::make_shared<const Utilities>(c.sample, kRouter);
    EXPECT_EQ(at_zero.counts, plain_loads(*utilities).back().counts) << "seed " << seed;
    // A walk that has been elsewhere.
    PriceWalk walk(std::make_shared<const PricedSample>(utilities, c.parameters), {});
    walk.move_to(0.4);
    walk.move_to(0.0);
    const auto now = walk.histogram().of(0), plain = walk.plain_histogram().of(0);
    EXPECT_TRUE(std::equal(now.begin() + 1, now.end(), plain.begin() + 1)) << "seed " << seed;
  }
}

TEST(PricedRule, TheBudgetIsNeverExceededInTheModel) {
  const StepCost step = two_precisions();
  int reached = 0;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    std::mt19937 random(seed);
    const std::vector<std::uint8_t> variant = mixed_precision(random);
    const ControllerConfig config{
        .layers = kLayers, .router = kRouter, .costs = step, .variant = variant};
    PricingParameters parameters = random_case(seed).parameters;
    parameters.unit_price = unit_prices(step, kLayers, kExperts, variant);
    LogitSource source(kLayers, kTokens, kExperts, 50 + seed);
    const std::vector<LogitSample> samples = {source.next(), source.next(), source.next()};
    DemandModel model = demand_of(samples, kRouter, variant);
    model.price(parameters);
    const LoadCosts costs(step, kTokens, variant);
    const Demand plain = model.plain(costs);
    for (const double share : {0.97, 0.9, 0.8, 0.7, 0.6}) {
      const double budget = share * plain.cost.energy.value;
      const PriceChoice choice =
          least_price(model, costs, [&](const Demand& d) { return d.cost.energy.value <= budget; });
      if (!choice.reached) continue;
      ++reached;
      // Routed and costed by what shares no code with the search.
      double joules = 0.0;
      for (const LogitSample& s : samples) {
        const RoutingStats stats =
            ReferenceRouter(kRouter).route(s, priced_plan(config, parameters, choice.lambda));
        joules += step.step(stats, variant).energy.value / static_cast<double>(samples.size());
      }
      EXPECT_LE(joules, budget * (1.0 + 1e-9)) << "seed " << seed << " share " << share;
    }
  }
  EXPECT_GE(reached, 30);
}

TEST(PricedRule, HasTheSameBitsInAnyNumberOfThreads) {
  const auto walked = [](std::uint32_t seed) {
    const Case c = random_case(seed);
    const auto sample = std::make_shared<const PricedSample>(priced(c));
    PriceWalk walk(sample, {});
    std::vector<double> bits;
    for (const double lambda : {0.3, 0.05, 0.7, 0.0, 0.2}) {
      walk.move_to(lambda);
      const KeptMass kept = walk.kept();
      bits.insert(bits.end(), {kept.mean(), sample->loads(lambda).kept_mass});
      for (const int n : walk.histogram().of(0)) bits.push_back(n);
    }
    return bits;
  };
  std::vector<std::vector<double>> alone;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) alone.push_back(walked(seed));
  for (const std::size_t threads : {2U, 5U}) {
    std::vector<std::vector<double>> together(alone.size());
    {
      std::vector<std::jthread> all;
      for (std::size_t t = 0; t < threads; ++t) {
        all.emplace_back([&, t] {
          for (std::size_t i = t; i < together.size(); i += threads)
            together[i] = walked(static_cast<std::uint32_t>(i + 1));
        });
      }
    }
    EXPECT_EQ(alone, together) << threads << " threads";
  }
}

}  // namespace
}  // namespace thermoe
