// SPDX-License-Identifier: Apache-2.0
#include "report/expert_load.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace thermoe {
namespace {

TEST(ExpertLoad, EvenCountsHaveNoVariation) {
  const std::vector<std::int64_t> counts(4, 7);
  EXPECT_DOUBLE_EQ(expert_load(counts).coefficient_of_variation, 0.0);
  EXPECT_DOUBLE_EQ(expert_load(counts).max_share, 0.25);
}

TEST(ExpertLoad, OneBusyExpertOfFourHasVariationRootThree) {
  const std::vector<std::int64_t> counts = {0, 8, 0, 0};
  EXPECT_NEAR(expert_load(counts).coefficient_of_variation, 1.7320508, 1e-6);
  EXPECT_DOUBLE_EQ(expert_load(counts).max_share, 1.0);
}

TEST(ExpertLoad, NoTokensMeanNoLoad) {
  const std::vector<std::int64_t> counts(4, 0);
  EXPECT_DOUBLE_EQ(expert_load(counts).coefficient_of_variation, 0.0);
}

TEST(ExpertLoad, UsageSumsStepsAndAveragesLayers) {
  ExpertUsage usage(2, 2);
  usage.add({.layers = 2, .experts = 2, .tokens = 2, .counts = {2, 0, 1, 1}});
  usage.add({.layers = 2, .experts = 2, .tokens = 2, .counts = {2, 0, 1, 1}});
  EXPECT_EQ(usage.layer(0)[0], 4);
  EXPECT_DOUBLE_EQ(usage.mean_load().coefficient_of_variation, 0.5);
  EXPECT_DOUBLE_EQ(usage.mean_load().max_share, 0.75);
  EXPECT_THROW(usage.add({.layers = 1, .experts = 2, .tokens = 1, .counts = {1, 0}}),
               PreconditionError);
}

}  // namespace
}  // namespace thermoe
