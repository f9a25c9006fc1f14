// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device_graph.h"
#include "kernels/device_memory.h"
#include "kernels/device_stream.h"

namespace thermoe {

/// A graph of what `enqueue(stream)` gives, with a stream of its own.
class CapturedGraph {
 public:
  explicit CapturedGraph(const std::function<void(Stream)>& enqueue) : graph_(stream_, enqueue) {}

  Stream stream() const { return stream_; }
  /// After what the default stream was given; waits for its end.
  void replay() const {
    synchronise(Stream{nullptr});
    graph_.launch(stream_);
    synchronise(stream_);
  }

 private:
  DeviceStream stream_{};
  DeviceGraph graph_;
};

}  // namespace thermoe
