// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "telemetry/source.h"

namespace thermoe {

/// A sensor failure during [from, to).
struct SensorFault {
  enum class Kind {
    kDropout,  ///< every reading is absent
    kFreeze,   ///< the last values before `from` are repeated, or the first ever read if there are
               ///< none
    kNan,      ///< every real-valued reading is NaN
  };
  Kind kind = Kind::kDropout;
  Seconds from{};
  Seconds to{};
};

/// Breaks another source's readings at given times, for experiments and tests.
class FaultySource final : public Source {
 public:
  /// Faults may overlap: a freeze comes first, then dropout and NaN. Requires from < to.
  FaultySource(std::unique_ptr<Source> source, std::vector<SensorFault> faults);

  std::string_view name() const override { return source_->name(); }

 private:
  Snapshot poll(Seconds now) override;
  bool active(SensorFault::Kind kind, Seconds now) const;

  std::unique_ptr<Source> source_;
  std::vector<SensorFault> faults_;
  std::optional<Snapshot> last_{};  // as the sensor said it, before dropout and NaN
};

}  // namespace thermoe
