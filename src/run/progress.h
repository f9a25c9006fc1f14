// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/units.h"

namespace thermoe {

/// Where a run says how far it is. The CLI draws bars; tests collect.
class Progress {
 public:
  virtual ~Progress() = default;
  /// `done` of `total` virtual time of a phase ("BASELINE"); `status` is a few words ("352 W").
  virtual void update(std::string_view phase, Seconds done, Seconds total,
                      std::string_view status) = 0;
  /// A line that must not be lost, such as a fallback.
  virtual void note(std::string_view line) = 0;
};

/// Says nothing.
class SilentProgress final : public Progress {
 public:
  void update(std::string_view, Seconds, Seconds, std::string_view) override {}
  void note(std::string_view) override {}
};

}  // namespace thermoe
