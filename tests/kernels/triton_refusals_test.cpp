// SPDX-License-Identifier: Apache-2.0
// What the backend triton does not do is refused by name, before anything is read or launched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(Triton, RoutesPlainlyAndNamesWhatItLacks) {
  const float logits[8] = {};
  std::int32_t expert[2] = {};
  float weight[2] = {};
  std::int32_t counts[8] = {};
  const LayerPlan row{};
  const StepState step{};
  const TopkRouteArgs plain{.logits = GateLogits(logits),
                            .tokens = 1,
                            .router = {RouterSpec{.experts = 8, .k = 2}, nullptr},
                            .expert = expert,
                            .weight = weight,
                            .slots = 2};
  const auto expect_named = [&](const char* name, auto&& spoil) {
    TopkRouteArgs bad = plain;
    spoil(bad);
    EXPECT_THAT(refusal([&] { topk_route(Backend::kTriton, bad, Stream{nullptr}); }),
                testing::HasSubstr(name));
  };
  expect_named("groups", [](auto& a) { a.router.groups = 4, a.router.groups_kept = 2; });
  expect_named("plan", [&](auto& a) { a.plan.row = &row; });
  expect_named("plan", [&](auto& a) { a.plan.selection_bias = logits; });
  expect_named("plan", [&](auto& a) { a.plan.activation_price = logits; });
  expect_named("step", [&](auto& a) { a.step = &step; });
  expect_named("counts", [&](auto& a) { a.counts = counts; });
  expect_named("kept mass", [&](auto& a) { a.kept_mass = weight; });
  expect_named("masked logits", [&](auto& a) { a.masked_logits = weight; });
  expect_named("expert order", [&](auto& a) { a.order = {counts, expert}; });
  expect_named("sample of the logits", [&](auto& a) {
    a.sample = {.logits = weight, .distance = 0, .rows = 0, .slot = expert};
  });
  expect_named("filled slots", [](auto& a) { a.fill_slots = true; });
  expect_named("slots=33", [](auto& a) { a.slots = 33; });
  expect_named("k=3", [](auto& a) { a.router.k = 3; });
}

TEST(Triton, LinearLayersHaveNoF32ActivationsAndNoGate) {
  alignas(16) const std::uint32_t words[4 * 16] = {};
  alignas(16) const float scales[16] = {};
  alignas(16) const float x[32] = {};
  float out[16] = {};
  const Int4View weights{
      .words = words, .scales = scales, .outputs = 16, .inputs = 32, .group = 32};
  FusedDequantLinearArgs args{.x = x, .tokens = 1, .weights = weights, .out = out};
  const auto run = [&] { fused_dequant_linear(Backend::kTriton, args, Stream{nullptr}); };
  EXPECT_THAT(refusal(run), testing::HasSubstr("not f32"));
  args.x_type = FloatType::kF16;
  args.epilogue = Epilogue::kSiluMul;
  args.up = weights;
  EXPECT_THAT(refusal(run), testing::HasSubstr("silu-mul"));
}

}  // namespace
}  // namespace thermoe
