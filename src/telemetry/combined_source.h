// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/source.h"

namespace thermoe {

/// Several sources as one: their GPUs and host readings one after the other, their problems
/// together. A part that fails becomes a problem of the snapshot; what it showed before keeps its
/// place with absent values, so that the readers of the others' readings notice nothing.
///
/// Parts are read one after the other: one that blocks delays the snapshot of all. Put the one that
/// may block (NVML) last.
class CombinedSource final : public Source {
 public:
  /// Requires at least one part, none of them null.
  explicit CombinedSource(std::vector<std::unique_ptr<Source>> parts);

  /// Throws TelemetryError with every part's message if all parts fail.
  Snapshot read() override;
  /// "host + nvml"
  std::string_view name() const override { return name_; }

 private:
  struct Part {
    std::unique_ptr<Source> source;
    Snapshot last{};  // what it showed last, values taken out
  };

  std::vector<Part> parts_;
  std::string name_;
};

}  // namespace thermoe
