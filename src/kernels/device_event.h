// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/units.h"
#include "kernels/backend.h"

namespace thermoe {

/// A moment in what a stream was given: it comes to pass when all before it is done.
class DeviceEvent {
 public:
  /// Throws UsageError where no device can be used.
  DeviceEvent();

  /// Anew each time; not in a capture.
  void record(Stream stream);
  /// Whether it has come to pass, or was never recorded. Throws what a kernel did wrong.
  bool passed() const;
  /// Waits until then, without spinning. Throws what a kernel did wrong.
  void wait() const;
  /// The device's own time since `earlier`, which like this one has passed.
  Seconds since(const DeviceEvent& earlier) const;

 private:
  struct Destroy {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

}  // namespace thermoe
