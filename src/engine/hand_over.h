// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/routing_plan.h"
#include "core/triple_buffer.h"
#include "core/units.h"

namespace thermoe {

/// A plan, and the mask that stands for it where the engine cannot run plans.
struct PlanAndMask {
  RoutingPlan plan{};
  std::vector<std::uint8_t> mask{};  ///< [layers, experts], or empty
};

/// What holds for an engine's next steps.
struct HandedDecision {
  PlanAndMask routes{};
  Seconds step_period{};
  /// From then on `safe` stands in. Absent: it does not grow old.
  std::optional<Seconds> valid_until{};
  /// Never null where there is an end.
  std::shared_ptr<const PlanAndMask> safe{};
  Seconds safe_step_period{};
  bool calibrating = false;
};

/// Hands decisions from the thread that controls to the thread that steps: neither waits for the
/// other. One that has outlived its time gives way to the safe plan, whatever became of the
/// controller. Every change has a version of its own, larger than those before it.
class HandOver {
 public:
  explicit HandOver(const HandedDecision& initial);

  /// Writer side. The version that it was given. Requires plans that `find_problem` allows, of the
  /// initial one's shape, and a finite period.
  std::uint64_t publish(HandedDecision decision);

  /// Reader side. Views: valid until the next call.
  struct Held {
    std::uint64_t version = 0;
    const PlanAndMask& routes;
    Seconds step_period{};
    std::optional<Seconds> valid_until{};  ///< absent where the safe plan stands in
    bool safe = false;
    bool calibrating = false;
  };
  Held acquire(Seconds now);

 private:
  const int layers_, experts_;
  TripleBuffer<HandedDecision> decisions_;
  std::uint64_t version_ = 0;  // writer's; even: the next odd one is the safe plan's in its place
  PlanAndMask stand_in_;       // reader's copy of the safe plan, which has a version of its own
};

}  // namespace thermoe
