// SPDX-License-Identifier: Apache-2.0
#include "profile/record/sustained_work.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "kernels/device_event.h"
#include "kernels/device_graph.h"
#include "kernels/device_stream.h"

namespace thermoe {
namespace {

constexpr Seconds kBatch{0.04};    // between two waits of the host
constexpr Seconds kReplay{0.002};  // of a graph: its launch is then below a hundredth
constexpr int kMostCalls = 1024;   // in a graph
constexpr Seconds kLongest{0.1};   // a graph of slow calls

struct DeviceLoad {
  explicit DeviceLoad(OpWork executed) : work(std::move(executed)) {}

  OpWork work;
  DeviceStream stream{};
  std::unique_ptr<DeviceGraph> graph{};
  int calls = 0;
  int replays = 1;

  void capture(int count) {
    calls = count;
    graph = std::make_unique<DeviceGraph>(stream, [this](Stream captured) {
      for (int call = 0; call < calls; ++call) work.enqueue(call, captured);
    });
  }
  Seconds replay(int times, const std::function<void()>& meanwhile) {
    DeviceEvent begin, end;
    begin.record(stream);
    for (int i = 0; i < times; ++i) graph->launch(stream);
    end.record(stream);
    if (meanwhile) meanwhile();
    end.wait();
    return end.since(begin);
  }
};

int whole(double count, int most) {
  return static_cast<int>(std::clamp(std::ceil(count), 1.0, static_cast<double>(most)));
}

}  // namespace

SustainedWork sustained_on_host(OpWork work, const Clock& clock) {
  return
      [work = std::move(work), &clock, call = 0](const std::function<void()>& meanwhile) mutable {
        const Seconds from = clock.now();
        std::int64_t executions = 0;
        do {
          work.enqueue(call++, Stream{nullptr});
          ++executions;
        } while (clock.now() - from < kBatch);
        meanwhile();
        return executions;
      };
}

SustainedWork sustained_on_device(OpWork work) {
  constexpr int kFewCalls = 16;
  const auto load = std::make_shared<DeviceLoad>(std::move(work));
  load->work.enqueue(0, load->stream);  // what cannot run says so here, outside a capture
  load->capture(kFewCalls);
  load->replay(1, {});
  const Seconds call = load->replay(2, {}) / (2.0 * kFewCalls);
  // As many as rotate through all copies of the weights, unless they take long.
  constexpr int kAllCopies = 64;
  load->capture(std::max(whole(kReplay / call, kMostCalls), whole(kLongest / call, kAllCopies)));
  load->replays = whole(kBatch / (call * load->calls), 1000);
  return [load](const std::function<void()>& meanwhile) {
    load->replay(load->replays, meanwhile);
    return std::int64_t{load->replays} * load->calls;
  };
}

}  // namespace thermoe
