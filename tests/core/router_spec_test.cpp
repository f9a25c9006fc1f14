// SPDX-License-Identifier: Apache-2.0
#include "core/router_spec.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

RouterSpec deepseek_v3() {
  RouterSpec spec{.experts = 256,
                  .k = 8,
                  .score = ScoreFunction::kSigmoid,
                  .groups = 8,
                  .groups_kept = 4,
                  .routed_scale = 2.5};
  spec.selection_bias.assign(2 * 256, 0.25F);
  return spec;
}

TEST(RouterSpec, TheRouterOfDeepSeekV3IsOne) {
  EXPECT_FALSE(find_problem(deepseek_v3(), 2).has_value());
}

TEST(RouterSpec, NamesTheFieldThatIsWrongAndItsValue) {
  struct Case {
    std::function<void(RouterSpec&)> spoil;
    const char* key;
    const char* told;
  };
  const std::vector<Case> cases = {
      {[](RouterSpec& s) { s.experts = 0; }, "experts", "0"},
      {[](RouterSpec& s) { s.k = 0; }, "k", "0 "},
      {[](RouterSpec& s) { s.k = 257; }, "k", "256"},
      {[](RouterSpec& s) { s.k = 129; }, "k", "the 128 experts that 4 of 8 groups hold"},
      {[](RouterSpec& s) { s.groups = 7; }, "groups", "7 does not divide the 256 experts"},
      {[](RouterSpec& s) { s.groups_kept = 9; }, "groups_kept", "1..8"},
      {[](RouterSpec& s) { s.routed_scale = -1.0; }, "routed_scale", "-1"},
      {[](RouterSpec& s) { s.routed_scale = 1e308; }, "routed_scale", "1e+308"},
      {[](RouterSpec& s) { s.routed_scale = 1e-320; }, "routed_scale",
       "no positive number that a float"},
      {[](RouterSpec& s) { s.selection_bias.pop_back(); }, "selection_bias", "need 512"},
      {[](RouterSpec& s) { s.selection_bias[3] = std::numeric_limits<float>::infinity(); },
       "selection_bias", "inf"},
  };
  for (const Case& c : cases) {
    RouterSpec spec = deepseek_v3();
    c.spoil(spec);
    const auto found = find_problem(spec, 2);
    ASSERT_TRUE(found.has_value()) << c.told;
    EXPECT_EQ(found->key, c.key);
    EXPECT_NE(found->problem.find(c.told), std::string::npos) << found->problem;
  }
}

TEST(RouterSpec, EachNameLeadsBackToItsValue) {
  for (const std::string& name : score_function_names()) {
    EXPECT_EQ(to_string(score_function_from(name).value()), name);
  }
  for (const std::string& name : weight_denominator_names()) {
    EXPECT_EQ(to_string(weight_denominator_from(name).value()), name);
  }
  for (const std::string& name : loss_scores_names()) {
    EXPECT_EQ(to_string(loss_scores_from(name).value()), name);
  }
  EXPECT_FALSE(score_function_from("relu").has_value());
}

TEST(RouterSpec, ALayersBiasIsItsRow) {
  RouterSpec spec = deepseek_v3();
  spec.selection_bias[256] = 1.0F;
  EXPECT_EQ(spec.layer_bias(1).front(), 1.0F);
  EXPECT_EQ(spec.layer_bias(0).front(), 0.25F);
  EXPECT_THROW(spec.layer_bias(2), PreconditionError);
  EXPECT_TRUE(RouterSpec{.experts = 4}.layer_bias(9).empty());
}

}  // namespace
}  // namespace thermoe
