// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "kernels/device_graph.h"

namespace thermoe::bench {

/// Calls captured one after another into a graph, ready to be replayed.
class GraphChain {
 public:
  GraphChain(const std::function<void(int call, Stream stream)>& enqueue, int calls, Stream stream);

  void replay(Stream stream) const { graph_.launch(stream); }
  int calls() const { return calls_; }

 private:
  DeviceGraph graph_;
  int calls_;
};

/// A chain of at least `least_calls`, and as many (up to 1024) as replay in a millisecond: the
/// launch of the graph itself is then below a hundredth of what is timed. Fewer, 8 at least, where
/// so many would take more than 30 ms.
GraphChain long_chain(const std::function<void(int call, Stream stream)>& enqueue, int least_calls,
                      Stream stream);

/// Replays `times` times and waits; microseconds a call in each replay. `meanwhile` runs on the
/// host while the device is busy.
std::vector<double> time_replays(const GraphChain& chain, int times, Stream stream,
                                 const std::function<void()>& meanwhile = {});

}  // namespace thermoe::bench
