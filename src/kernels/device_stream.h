// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace thermoe {

/// A stream of the current CUDA device. It does not wait for CUDA's default stream, nor that for
/// it: what was made there is ready for this one after `synchronise(Stream{nullptr})`.
class DeviceStream {
 public:
  /// Throws UsageError where no device can be used.
  DeviceStream();

  // NOLINTNEXTLINE(google-explicit-constructor): an op takes it as the stream that it is.
  operator Stream() const { return {handle_.get()}; }

 private:
  struct Destroy {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

}  // namespace thermoe
