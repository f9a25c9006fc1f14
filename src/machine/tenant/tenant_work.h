// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/units.h"

namespace thermoe {

/// Work of another tenant of a GPU, in units short beside a millisecond. One thread's.
class TenantWork {
 public:
  enum class Kind {
    kProducts,  ///< keep the tensor cores busy
    kCopies,    ///< keep the memory busy
  };
  virtual ~TenantWork() = default;
  /// Runs `units` >= 1 to their end, without spinning, and says how long the device took for them.
  /// Throws CudaError where the device fails.
  virtual Seconds run(Kind kind, int units) = 0;
};

}  // namespace thermoe
