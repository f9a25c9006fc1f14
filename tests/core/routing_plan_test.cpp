// SPDX-License-Identifier: Apache-2.0
#include "core/routing_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

template <class T>
T read_at(const RoutingPlan& plan, std::size_t offset) {
  T value;
  std::memcpy(&value, plan.bytes().data() + offset, sizeof(T));
  return value;
}

TEST(RoutingPlan, ANewPlanIsTheBaseline) {
  const RoutingPlan plan(2, 4, 3);
  for (int l = 0; l < 2; ++l) {
    EXPECT_EQ(plan.layer(l).k, 3);
    EXPECT_EQ(plan.layer(l).k_min, 3);
    EXPECT_EQ(plan.layer(l).extra_k_share, 0.0F);
    const auto zero = [](float v) { return v == 0.0F; };
    EXPECT_TRUE(std::ranges::all_of(plan.selection_bias(l), zero));
    EXPECT_TRUE(std::ranges::all_of(plan.activation_price(l), zero));
  }
}

// The offsets that docs/adr/0003-plan-buffer.md promises to device code.
TEST(RoutingPlan, BytesLieWhereTheDocumentSays) {
  RoutingPlan plan(2, 4, 3);
  plan.header().version = 7;
  plan.layer(1).k_min = 2;
  plan.layer(1).extra_k_min_share = 0.75F;
  plan.selection_bias(1)[2] = 0.25F;
  plan.activation_price(0)[3] = 0.5F;
  plan.variant(1)[0] = 1;
  EXPECT_EQ(read_at<std::uint32_t>(plan, 0), PlanHeader::kMagic);
  EXPECT_EQ(read_at<std::uint64_t>(plan, 8), 7U);
  EXPECT_EQ(read_at<std::int32_t>(plan, 64 + 32 + 4), 2);
  EXPECT_EQ(read_at<float>(plan, 64 + 32 + 12), 0.75F);
  EXPECT_EQ(read_at<std::uint32_t>(plan, 4), 2U);  // the layout's version
  const std::size_t bias = 64 + 2 * 32;
  EXPECT_EQ(read_at<float>(plan, bias + 4 * (4 + 2)), 0.25F);
  const std::size_t price = bias + 4 * 8;
  EXPECT_EQ(read_at<float>(plan, price + 4 * 3), 0.5F);
  const std::size_t variant = price + 4 * 8;
  EXPECT_EQ(read_at<std::uint8_t>(plan, variant + 4), 1);
  // Behind it as many reserved bytes, 208 in all, then up to whole cache lines.
  EXPECT_EQ(plan.bytes().size(), 256U);
  EXPECT_EQ(plan.bytes().size(), RoutingPlan::byte_size(2, 4));
  EXPECT_EQ(plan.bytes().size() % 64, 0U);
}

TEST(RoutingPlan, AFractionalKGivesAShareOfTheTokensOneMore) {
  RoutingPlan plan(2, 8, 4);
  plan.set_fractional_k(2.25);
  EXPECT_EQ(plan.layer(1).k, 2);
  EXPECT_EQ(plan.layer(1).k_min, 2);
  EXPECT_FLOAT_EQ(plan.layer(1).extra_k_share, 0.25F);
  EXPECT_THROW(plan.set_fractional_k(0.5), PreconditionError);
}

TEST(RoutingPlan, KeepAndFillIsPricingThatNothingIsWorth) {
  RoutingPlan plan(2, 8, 4);
  plan.set_opportunistic(2.25);
  EXPECT_EQ(plan.layer(1).k, 4);
  EXPECT_EQ(plan.layer(1).k_min, 2);
  EXPECT_FLOAT_EQ(plan.layer(1).extra_k_min_share, 0.25F);
  EXPECT_EQ(plan.activation_price(1)[7], std::numeric_limits<float>::infinity());
  EXPECT_THROW(plan.set_opportunistic(0.5), PreconditionError);
  EXPECT_THROW(plan.set_opportunistic(4.5), PreconditionError);
}

TEST(RoutingPlan, RefusesAKBeyondTheExperts) {
  EXPECT_THROW(RoutingPlan(1, 4, 5), PreconditionError);
  EXPECT_THROW(RoutingPlan(1, 4, 0), PreconditionError);
  EXPECT_THROW(RoutingPlan(0, 4, 1), PreconditionError);
}

TEST(RoutingPlan, AnEmptyPlanHasNoHeaderToReadOrWrite) {
  RoutingPlan empty;
  EXPECT_TRUE(empty.empty());
  EXPECT_THROW(empty.header(), PreconditionError);
  EXPECT_THROW(std::as_const(empty).header(), PreconditionError);
  EXPECT_THROW(empty.layers(), PreconditionError);
  EXPECT_THROW(empty.layer(0), PreconditionError);
  EXPECT_THROW(empty.selection_bias(0), PreconditionError);
}

TEST(RoutingPlan, RefusesALayerItDoesNotHave) {
  const RoutingPlan plan(2, 4, 3);
  EXPECT_THROW(plan.layer(2), PreconditionError);
  EXPECT_THROW(plan.selection_bias(-1), PreconditionError);
  EXPECT_THROW(plan.variant(2), PreconditionError);
}

TEST(RoutingPlan, WhatTheDataPlaneCannotRunIsSaidByLayerAndValue) {
  const auto problem_of = [](auto&& spoil) {
    RoutingPlan plan(3, 4, 2);
    spoil(plan);
    return find_problem(plan).value_or("");
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(problem_of([](RoutingPlan&) {}), "");
  EXPECT_EQ(problem_of([](RoutingPlan& p) { p.set_opportunistic(1.5); }), "");
  EXPECT_EQ(problem_of([](RoutingPlan& p) { p.layer(1).k = 5; }), "layer 1: k=5 is outside 1..4");
  EXPECT_EQ(problem_of([](RoutingPlan& p) { p.layer(2).k_min = 3; }),
            "layer 2: k_min=3 is outside 1..k=2");
  EXPECT_NE(problem_of([](RoutingPlan& p) { p.layer(0).extra_k_share = kNan; }), "");
  EXPECT_NE(problem_of([](RoutingPlan& p) { p.layer(0).extra_k_min_share = 1.5F; }), "");
  EXPECT_NE(problem_of([](RoutingPlan& p) { p.selection_bias(2)[3] = kNan; }), "");
  EXPECT_NE(problem_of([](RoutingPlan& p) { p.activation_price(2)[3] = -1.0F; }), "");
  EXPECT_NE(problem_of([](RoutingPlan& p) { p.activation_price(2)[3] = kNan; }), "");
}

TEST(RoutingPlan, ALayersViewReadsTheSameValues) {
  RoutingPlan plan(3, 4, 2);
  plan.selection_bias(1)[2] = 0.5F;
  plan.activation_price(1)[3] = 0.25F;
  plan.variant(1)[0] = 1;
  const PlanLayerView view = plan.view(1);
  EXPECT_EQ(view.row, &plan.layer(1));
  EXPECT_EQ(view.selection_bias, plan.selection_bias(1).data());
  EXPECT_EQ(view.activation_price, plan.activation_price(1).data());
  EXPECT_EQ(view.variant, plan.variant(1).data());
  const std::vector<std::byte> copy(plan.bytes().begin(), plan.bytes().end());
  EXPECT_EQ(plan.view_at(copy.data(), 1).activation_price[3], 0.25F);
}

}  // namespace
}  // namespace thermoe
