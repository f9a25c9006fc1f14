// SPDX-License-Identifier: Apache-2.0
#include "graph_chain.h"

#include <algorithm>
#include <cmath>

#include "kernels/device_event.h"

namespace thermoe::bench {
namespace {

constexpr double kLongEnough = 1000.0;  // microseconds a replay
constexpr double kTooLong = 30e3;
constexpr int kFewCalls = 8;  // enough to tell how long a call takes
constexpr int kMostCalls = 1024;

}  // namespace

GraphChain::GraphChain(const std::function<void(int call, Stream stream)>& enqueue, int calls,
                       Stream stream)
    : graph_(stream,
             [&](Stream captured) {
               for (int call = 0; call < calls; ++call) enqueue(call, captured);
             }),
      calls_(calls) {}

GraphChain long_chain(const std::function<void(int call, Stream stream)>& enqueue, int least_calls,
                      Stream stream) {
  GraphChain few(enqueue, kFewCalls, stream);
  const double us = std::max(time_replays(few, 3, stream).back(), 0.1);  // the first ones warm up
  double calls = std::clamp(std::ceil(kLongEnough / us), double(least_calls), double{kMostCalls});
  calls = std::clamp(std::floor(kTooLong / us), double{kFewCalls}, calls);
  return {enqueue, static_cast<int>(calls), stream};
}

std::vector<double> time_replays(const GraphChain& chain, int times, Stream stream,
                                 const std::function<void()>& meanwhile) {
  std::vector<DeviceEvent> edges(static_cast<std::size_t>(times) + 1);
  edges[0].record(stream);
  for (int i = 0; i < times; ++i) {
    chain.replay(stream);
    edges[static_cast<std::size_t>(i) + 1].record(stream);
  }
  if (meanwhile) meanwhile();
  edges.back().wait();
  std::vector<double> us;
  for (std::size_t i = 1; i < edges.size(); ++i) {
    us.push_back(1e6 * edges[i].since(edges[i - 1]).value / chain.calls());
  }
  return us;
}

}  // namespace thermoe::bench
