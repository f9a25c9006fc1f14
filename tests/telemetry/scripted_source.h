// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "telemetry/source.h"

namespace thermoe {

/// A source whose answers a test writes; it need not look at the time.
class ScriptedSource final : public Source {
 public:
  explicit ScriptedSource(std::function<Snapshot()> answer) : answer_(std::move(answer)) {}
  std::string_view name() const override { return "scripted"; }

 private:
  Snapshot poll(Seconds /*now*/) override { return answer_(); }

  std::function<Snapshot()> answer_;
};

/// One GPU that says only its instant power.
inline Snapshot power_reading(double watts) {
  GpuReading gpu;
  gpu.power_instant.value = Watts(watts);
  return {.gpus = {gpu}};
}

}  // namespace thermoe
