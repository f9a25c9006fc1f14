// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/check.h"

namespace thermoe {

/// What `enqueue(stream)` gives a stream of its own, captured once into a graph.
class CapturedGraph {
 public:
  template <class Enqueue>
  explicit CapturedGraph(const Enqueue& enqueue) {
    cuda::check(cudaStreamCreate(&stream_), "cudaStreamCreate");
    cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal),
                "cudaStreamBeginCapture");
    enqueue(stream());
    cudaGraph_t graph = nullptr;
    cuda::check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    const cudaError_t made = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    cuda::check(made, "cudaGraphInstantiate");
  }
  ~CapturedGraph() {
    cudaGraphExecDestroy(graph_);
    cudaStreamDestroy(stream_);
  }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  Stream stream() const { return Stream{stream_}; }
  /// Waits for its end.
  void replay() const {
    cuda::check(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch");
    synchronise(stream());
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace thermoe
