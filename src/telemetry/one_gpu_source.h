// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "telemetry/source.h"

namespace thermoe {

/// One GPU of another source's, and no host sensors: for who works on that GPU alone.
class OneGpuSource final : public Source {
 public:
  /// `uuid` as NVML tells it, whole. A read throws TelemetryError where that GPU is not there, or
  /// is lost and says nothing more.
  OneGpuSource(std::unique_ptr<Source> source, std::string uuid);

  std::string_view name() const override { return source_->name(); }

 private:
  Snapshot poll(Seconds now) override;

  const std::unique_ptr<Source> source_;
  const std::string uuid_;
};

}  // namespace thermoe
