// SPDX-License-Identifier: Apache-2.0
#include "core/errors.h"
#include "permute_combine_problem.h"

namespace thermoe {
namespace {

INSTANTIATE_TEST_SUITE_P(Cpu, PermuteCombineTest, ::testing::Values(Backend::kCpu), backend_name);

constexpr Stream kNone{nullptr};

TEST(PermuteCombine, WhatDoesNotFitIsRefusedByName) {
  const auto refusal = [](const PermuteArgs& args) -> std::string {
    try {
      permute(Backend::kCpu, args, kNone);
    } catch (const PreconditionError& e) {
      return e.what();
    }
    return "";
  };
  const PermuteArgs good{.tokens = 0, .width = 8, .slots = 2, .experts = 4};
  EXPECT_EQ(refusal(good), "");
  PermuteArgs bad = good;
  bad.type = FloatType::kF16;
  EXPECT_THAT(refusal(bad), ::testing::HasSubstr("f16"));
  bad = good;
  bad.slots = 0;
  EXPECT_THAT(refusal(bad), ::testing::HasSubstr("slots=0"));
  bad = good;
  bad.experts = 0;
  EXPECT_THAT(refusal(bad), ::testing::HasSubstr("experts=0"));
  bad = good;
  bad.tokens = 1 << 30;
  EXPECT_THAT(refusal(bad), ::testing::HasSubstr("more than 2147483647"));
  bad.tokens = 3;
  EXPECT_THAT(refusal(bad), ::testing::HasSubstr("is null"));
  EXPECT_THROW(combine(Backend::kCpu, {.tokens = 1, .width = 8, .slots = 1}, kNone),
               PreconditionError);
  EXPECT_THROW(combine_backward(Backend::kCpu, {.tokens = 1, .width = 8, .slots = 1}, kNone),
               PreconditionError);
}

TEST(PermuteCombine, HasNoTritonKernel) {
  const std::int32_t row = 0;
  float value = 0.0F;
  EXPECT_THROW(
      combine(Backend::kTriton,
              {.rows = &value, .tokens = 1, .width = 1, .row = &row, .slots = 1, .out = &value},
              kNone),
      UsageError);
}

TEST(ExpertOrder, AnUnknownExpertIsRefused) {
  std::vector<std::int32_t> first(3), pair(2);
  const std::vector<std::int32_t> expert{0, 2};
  OrderByExpertArgs args{.expert = expert.data(),
                         .tokens = 1,
                         .slots = 2,
                         .experts = 2,
                         .order = {first.data(), pair.data()}};
  EXPECT_THROW(order_by_expert(Backend::kCpu, args, kNone), PreconditionError);
  args.experts = 1025;
  EXPECT_THROW(order_by_expert(Backend::kCpu, args, kNone), PreconditionError);
}

}  // namespace
}  // namespace thermoe
