// SPDX-License-Identifier: Apache-2.0
#include "engine/bound_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/engine_errors.h"

namespace thermoe {
namespace {

class BoundPlanBuffer : public testing::Test {
 protected:
  BoundPlanBuffer() : buffer_(plan_.bytes().size()) {}

  std::uint64_t version_there() const {
    PlanHeader header;
    std::memcpy(&header, buffer_.data(), sizeof header);
    return header.version;
  }
  template <class Fault>
  std::string refusal(std::size_t bytes, const RoutingPlan& plan) {
    try {
      BoundPlan second(buffer_.data(), bytes, plan);
    } catch (const Fault& e) {
      return e.what();
    }
    return "not refused";
  }

  RoutingPlan plan_{2, 8, 2};
  std::vector<std::byte> buffer_;
};

TEST_F(BoundPlanBuffer, FollowsThePlan) {
  BoundPlan bound(buffer_.data(), buffer_.size(), plan_);
  plan_.header().version = 4;
  plan_.selection_bias(1)[3] = 0.5F;
  bound.update(plan_);
  EXPECT_EQ(version_there(), 4U);
  EXPECT_TRUE(std::equal(buffer_.begin() + sizeof(PlanHeader), buffer_.end(),
                         plan_.bytes().begin() + sizeof(PlanHeader)));
}

TEST_F(BoundPlanBuffer, ASecondControllerIsRefusedUntilTheFirstHasLeft) {
  {
    BoundPlan first(buffer_.data(), buffer_.size(), plan_);
    first.update(plan_);
    EXPECT_THAT(refusal<BufferInUse>(buffer_.size(), plan_),
                testing::HasSubstr("writes its plans into this buffer"));
    BoundPlan moved = std::move(first);
    EXPECT_THAT(refusal<BufferInUse>(buffer_.size(), plan_), testing::HasSubstr("close that one"));
  }
  EXPECT_EQ(refusal<BufferInUse>(buffer_.size(), plan_), "not refused");
}

TEST_F(BoundPlanBuffer, ThePlanOfAControllerThatLeftIsReplacedThoughItsVersionIsTheSame) {
  plan_.header().version = 4;
  BoundPlan(buffer_.data(), buffer_.size(), plan_).update(plan_);
  RoutingPlan next(2, 8, 2);
  next.header().version = 4;
  next.selection_bias(1)[3] = 0.5F;
  BoundPlan bound(buffer_.data(), buffer_.size(), next);
  bound.update(next);
  EXPECT_TRUE(std::equal(buffer_.begin() + sizeof(PlanHeader), buffer_.end(),
                         next.bytes().begin() + sizeof(PlanHeader)));
}

TEST_F(BoundPlanBuffer, ABufferOfAnotherShapeIsRefused) {
  EXPECT_THAT(refusal<UsageError>(buffer_.size() - 1, plan_),
              testing::HasSubstr("a plan of 2 layers of 8 experts has"));
  const RoutingPlan wide(1, 16, 2);  // with a plan of 2 x 8 in a block of this size
  ASSERT_LE(wide.bytes().size(), buffer_.size());
  std::memcpy(buffer_.data(), plan_.bytes().data(), sizeof(PlanHeader));
  EXPECT_THAT(refusal<UsageError>(wide.bytes().size(), wide),
              testing::HasSubstr("holds a plan of 2 layers of 8 experts, the model has 1 of 16"));
}

TEST_F(BoundPlanBuffer, MemoryThatIsNotZeroedIsRefused) {
  buffer_[5] = std::byte{1};
  EXPECT_THAT(refusal<UsageError>(buffer_.size(), plan_),
              testing::HasSubstr("neither zeros nor a plan; zero it"));
}

}  // namespace
}  // namespace thermoe
