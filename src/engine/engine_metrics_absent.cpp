// SPDX-License-Identifier: Apache-2.0
// In a build without metrics/.
#include "core/errors.h"
#include "engine/engine_metrics.h"

namespace thermoe {

struct EngineMetrics::Served {
  std::string url{};
};

EngineMetrics::EngineMetrics(const EngineConfig& config, const Clock& /*clock*/) {
  throw FormatError(
      config.path, "/metrics",
      "asks for an endpoint, but this library was built without one; build it with the "
      "folder metrics, or leave the key out");
}

EngineMetrics::~EngineMetrics() = default;
const std::string& EngineMetrics::url() const { return served_->url; }
void EngineMetrics::publish(const EngineState& /*state*/) {}

}  // namespace thermoe
