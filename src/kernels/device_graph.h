// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "kernels/backend.h"

namespace thermoe {

/// What `enqueue(stream)` gives a stream, captured once into a graph and ready to be replayed. The
/// memory that it reads and writes must outlive it.
class DeviceGraph {
 public:
  /// Nothing of it runs. `stream` must not be CUDA's default stream, and must not be capturing.
  DeviceGraph(Stream stream, const std::function<void(Stream)>& enqueue);

  /// In the order of any stream; does not wait.
  void launch(Stream stream) const;

 private:
  struct Destroy {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

}  // namespace thermoe
