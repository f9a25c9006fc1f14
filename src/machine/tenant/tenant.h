// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"

namespace thermoe {

/// Another tenant of the GPU, which a run lets work and rest.
class Tenant {
 public:
  virtual ~Tenant() = default;
  /// Returns at once: the tenant follows within milliseconds. Throws Error where it has ended.
  virtual void set_working(bool working) = 0;
  /// What its work alone adds to an idle GPU's power, as measured before the run.
  virtual Watts added_power() const = 0;
};

}  // namespace thermoe
