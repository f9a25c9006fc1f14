// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/routing_plan.h"

namespace thermoe {

/// A plan's copy in memory of the engine's. The process that writes there stands in the block
/// itself, in the last bytes of the header's reserved ones: so two controllers find each other, in
/// one process or two, without anything global.
class BoundPlan {
 public:
  BoundPlan() = default;
  /// Claims the buffer: zeros, or a plan of this shape that nobody writes any more. Throws
  /// UsageError for another size, shape or content, and BufferInUse.
  BoundPlan(void* buffer, std::size_t bytes, const RoutingPlan& shape);
  /// Frees it, with the newest plan in it.
  ~BoundPlan();
  BoundPlan(BoundPlan&& other) noexcept;
  BoundPlan& operator=(BoundPlan&& other) noexcept;

  /// Copies the plan, where there is a buffer and it does not hold this version of it yet.
  void update(const RoutingPlan& plan);

 private:
  void* buffer_ = nullptr;
  std::optional<std::uint64_t> copied_{};  // versions are counted by each controller for itself
};

}  // namespace thermoe
