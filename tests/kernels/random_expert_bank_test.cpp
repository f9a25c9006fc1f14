// SPDX-License-Identifier: Apache-2.0
#include "kernels/random_expert_bank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/errors.h"
#include "kernels/expert_bank.h"

namespace thermoe {
namespace {

constexpr ExpertLayerShape kShape{.experts = 6, .d_model = 192, .d_ff = 64};

std::vector<std::uint32_t> words(const void* device, std::size_t count) {
  std::vector<std::uint32_t> host(count);
  copy_to_host(std::as_writable_bytes(std::span(host)), device, Stream{nullptr});
  synchronise(Stream{nullptr});
  return host;
}

/// A bank of the same shape and precisions that was made of weights.
ExpertBank packed_bank() {
  const std::vector<float> weights(std::size_t{6} * 192 * 64, 0.5F);
  const ExpertTensors tensors{.gate = weights.data(), .up = weights.data(), .down = weights.data()};
  ExpertBank bank(kShape);
  bank.load_f32(tensors);
  bank.load_int4(tensors, {.group = 64});
  return bank;
}

TEST(RandomExpertBank, LiesAsOneThatWasPacked) {
  const DeviceExpertBank bank = random_expert_bank(kShape, {.bf16 = true, .int4 = true}, 1);
  const ExpertBank packed = packed_bank();
  const ExpertBankView mine = bank.view();
  const ExpertBankView theirs = packed.view();
  EXPECT_EQ(mine.bf16.up.stride, theirs.bf16.up.stride);
  EXPECT_EQ(mine.bf16.up.first - mine.bf16.gate.first,
            theirs.bf16.up.first - theirs.bf16.gate.first);
  EXPECT_EQ(mine.bf16.down.of(5) - mine.bf16.gate.first,
            theirs.bf16.down.of(5) - theirs.bf16.gate.first);
  const Int4View last = mine.int4.down.of(5);
  const Int4View their_last = theirs.int4.down.of(5);
  EXPECT_EQ(last.words - mine.int4.gate.first.words,
            their_last.words - theirs.int4.gate.first.words);
  EXPECT_EQ(last.scales - mine.int4.gate.first.scales,
            their_last.scales - theirs.int4.gate.first.scales);
  EXPECT_EQ(last.inputs, their_last.inputs);
  EXPECT_EQ(last.outputs, their_last.outputs);
  EXPECT_EQ(last.group, their_last.group);
  EXPECT_EQ(random_expert_bank_bytes(kShape, {.bf16 = true, .int4 = true}),
            6 * (packed.expert_bytes(0) + packed.expert_bytes(1)));
}

TEST(RandomExpertBank, HoldsOtherWeightsForAnotherSeed) {
  const std::size_t count = std::size_t{3} * 6 * 192 * 64 / 2;
  const DeviceExpertBank one = random_expert_bank(kShape, {}, 1);
  const DeviceExpertBank same = random_expert_bank(kShape, {}, 1);
  const DeviceExpertBank other = random_expert_bank(kShape, {}, 2);
  const auto first = words(one.view().bf16.gate.first, count);
  EXPECT_EQ(first, words(same.view().bf16.gate.first, count));
  const auto second = words(other.view().bf16.gate.first, count);
  std::size_t equal = 0;
  for (std::size_t i = 0; i < count; ++i) equal += first[i] == second[i] ? 1U : 0U;
  EXPECT_LT(equal, count / 100);
  EXPECT_LT(static_cast<std::size_t>(std::ranges::count(first, 0U)), count / 100);
}

TEST(RandomExpertBank, RefusesWhatItWouldHaveToPad) {
  EXPECT_THROW(random_expert_bank({.experts = 6, .d_model = 100, .d_ff = 64}, {}, 1),
               PreconditionError);
  EXPECT_THROW(random_expert_bank(kShape, {.bf16 = false, .int4 = false}, 1), PreconditionError);
}

}  // namespace
}  // namespace thermoe
