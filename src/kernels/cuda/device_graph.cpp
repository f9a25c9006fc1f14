// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_graph.h"

#include <utility>

#include "kernels/cuda/check.h"

namespace thermoe {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Graph = std::unique_ptr<CUgraph_st, DestroyGraph>;

/// A stream that records what it is given, until the end of the capture or of this object.
class Capture {
 public:
  explicit Capture(Stream stream) : stream_(cuda::native(stream)) {
    // Other threads may do to the device what they like meanwhile.
    cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
                "cudaStreamBeginCapture");
  }
  ~Capture() {
    if (open_) take();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  Graph end() {
    auto [result, graph] = take();
    cuda::check(result, "cudaStreamEndCapture");
    return std::move(graph);
  }

 private:
  std::pair<cudaError_t, Graph> take() {
    open_ = false;
    cudaGraph_t graph = nullptr;
    const cudaError_t result = cudaStreamEndCapture(stream_, &graph);
    return {result, Graph(graph)};
  }

  cudaStream_t stream_;
  bool open_ = true;
};

}  // namespace

DeviceGraph::DeviceGraph(Stream stream, const std::function<void(Stream)>& enqueue) {
  Capture capture(stream);
  enqueue(stream);
  const Graph graph = capture.end();
  cudaGraphExec_t ready = nullptr;
  cuda::check(cudaGraphInstantiate(&ready, graph.get(), 0), "cudaGraphInstantiate");
  handle_.reset(ready);
  // Or the first launch would do it, and take longer than those to come.
  cuda::check(cudaGraphUpload(ready, cuda::native(stream)), "cudaGraphUpload");
}

void DeviceGraph::Destroy::operator()(void* handle) const {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle));
}

void DeviceGraph::launch(Stream stream) const {
  cuda::check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_.get()), cuda::native(stream)),
              "cudaGraphLaunch");
}

}  // namespace thermoe
