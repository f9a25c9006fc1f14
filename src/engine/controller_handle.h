// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "engine/bound_plan.h"
#include "engine/controller_service.h"
#include "engine/engine_errors.h"

/// What thermoe.h hands out.
struct thermoe_controller {
  thermoe_controller(thermoe::EngineConfig config, thermoe::MakeController make_controller)
      : service(std::move(config), std::move(make_controller)) {}

  /// Calls that may be under way once each.
  enum Call { kAcquire, kObserve, kReading, kState, kAdvance, kCalls };
  std::array<std::atomic_flag, kCalls> under_way{};

  thermoe::ControllerService service;
  std::uint64_t acquired = ~std::uint64_t{0};  // version that the last acquire gave; none
  thermoe::BoundPlan bound{};                  // acquire's
};

namespace thermoe {

/// Holds a call's place while it is under way. Throws CallUnderWay instead of waiting.
class OneCall {
 public:
  OneCall(thermoe_controller& controller, thermoe_controller::Call call)
      : flag_(controller.under_way[call]) {
    if (flag_.test_and_set(std::memory_order_acquire)) {
      throw CallUnderWay(
          "the same function of this controller is under way in another thread; call it from one "
          "at a time");
    }
  }
  ~OneCall() { flag_.clear(std::memory_order_release); }
  OneCall(const OneCall&) = delete;
  OneCall& operator=(const OneCall&) = delete;

 private:
  std::atomic_flag& flag_;
};

}  // namespace thermoe
