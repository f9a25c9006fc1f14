// SPDX-License-Identifier: Apache-2.0
#include "graph_chain.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/check.h"

namespace thermoe::bench {
namespace {

constexpr double kLongEnough = 1000.0;  // microseconds a replay
constexpr double kTooLong = 30e3;
constexpr int kFewCalls = 8;  // enough to tell how long a call takes
constexpr int kMostCalls = 1024;

struct Event {
  Event() { cuda::check(cudaEventCreate(&handle), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t handle = nullptr;
};

}  // namespace

GraphChain::GraphChain(const std::function<void(int call, Stream stream)>& enqueue, int calls,
                       cudaStream_t stream)
    : calls_(calls) {
  cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
              "cudaStreamBeginCapture");
  for (int call = 0; call < calls; ++call) enqueue(call, Stream{stream});
  cudaGraph_t captured = nullptr;
  cuda::check(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture");
  cudaGraphExec_t ready = nullptr;
  const cudaError_t result = cudaGraphInstantiate(&ready, captured, 0);
  cudaGraphDestroy(captured);
  cuda::check(result, "cudaGraphInstantiate");
  graph_.reset(ready);
}

void GraphChain::replay(cudaStream_t stream) const {
  cuda::check(cudaGraphLaunch(graph_.get(), stream), "cudaGraphLaunch");
}

GraphChain long_chain(const std::function<void(int call, Stream stream)>& enqueue, int least_calls,
                      cudaStream_t stream) {
  GraphChain few(enqueue, kFewCalls, stream);
  const double us = std::max(time_replays(few, 3, stream).back(), 0.1);  // the first ones warm up
  double calls = std::clamp(std::ceil(kLongEnough / us), double(least_calls), double{kMostCalls});
  calls = std::clamp(std::floor(kTooLong / us), double{kFewCalls}, calls);
  return {enqueue, static_cast<int>(calls), stream};
}

std::vector<double> time_replays(const GraphChain& chain, int times, cudaStream_t stream,
                                 const std::function<void()>& meanwhile) {
  std::vector<Event> edges(static_cast<std::size_t>(times) + 1);
  cuda::check(cudaEventRecord(edges[0].handle, stream), "cudaEventRecord");
  for (int i = 0; i < times; ++i) {
    chain.replay(stream);
    cuda::check(cudaEventRecord(edges[static_cast<std::size_t>(i) + 1].handle, stream),
                "cudaEventRecord");
  }
  if (meanwhile) meanwhile();
  cuda::check(cudaEventSynchronize(edges.back().handle), "cudaEventSynchronize");
  std::vector<double> us;
  for (std::size_t i = 1; i < edges.size(); ++i) {
    float ms = 0.0F;
    cuda::check(cudaEventElapsedTime(&ms, edges[i - 1].handle, edges[i].handle),
                "cudaEventElapsedTime");
    us.push_back(1000.0 * ms / chain.calls());
  }
  return us;
}

}  // namespace thermoe::bench
