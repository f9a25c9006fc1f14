// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "core/clock.h"
#include "engine/engine_config.h"
#include "engine/engine_state.h"

namespace thermoe {

/// What an engine's controller knows, served to Prometheus (docs/metrics.md).
class EngineMetrics {
 public:
  /// Listens once it returns. `clock` must outlive it. Requires config.metrics; throws UsageError
  /// for an address that it cannot have, and where the library was built without metrics/.
  EngineMetrics(const EngineConfig& config, const Clock& clock);
  ~EngineMetrics();

  /// A tick's. Waits for no reader of the page.
  void publish(const EngineState& state);
  /// http://127.0.0.1:9464/metrics, with the port that it got.
  const std::string& url() const;

 private:
  struct Served;
  std::unique_ptr<Served> served_;
};

}  // namespace thermoe
