// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace thermoe::bench {

/// Calls captured one after another into a graph, ready to be replayed.
class GraphChain {
 public:
  GraphChain(const std::function<void(int call, Stream stream)>& enqueue, int calls,
             cudaStream_t stream);

  void replay(cudaStream_t stream) const;
  int calls() const { return calls_; }

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };
  std::unique_ptr<CUgraphExec_st, Destroy> graph_;
  int calls_;
};

/// A chain of at least `least_calls`, and as many (up to 1024) as replay in a millisecond: the
/// launch of the graph itself is then below a hundredth of what is timed. Fewer, 8 at least, where
/// so many would take more than 30 ms.
GraphChain long_chain(const std::function<void(int call, Stream stream)>& enqueue, int least_calls,
                      cudaStream_t stream);

/// Replays `times` times and waits; microseconds a call in each replay. `meanwhile` runs on the
/// host while the device is busy.
std::vector<double> time_replays(const GraphChain& chain, int times, cudaStream_t stream,
                                 const std::function<void()>& meanwhile = {});

}  // namespace thermoe::bench
