// SPDX-License-Identifier: Apache-2.0
#include "profile/record/device_timer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/errors.h"
#include "kernels/device_event.h"
#include "kernels/hold_stream.h"
#include "profile/record/nvtx_range.h"

namespace thermoe {
namespace {

constexpr int kBurst = 32;             // executions; some hundred launches fit into a stream
constexpr Seconds kLongestHold{0.05};  // for more than this the device does not wait
constexpr std::size_t kBetweenBytes = 16;

}  // namespace

struct DeviceTimer::Burst {
  int first = 0;  // call
  int count = 0;
  Seconds hold{};
};

DeviceTimer::DeviceTimer(std::unique_ptr<CuptiActivity> cupti, const Clock& clock)
    : cupti_(std::move(cupti)), clock_(clock), between_(2 * kBetweenBytes) {}

OpTiming DeviceTimer::time(const OpWork& work, const std::string& name, ExecutionCount count) {
  OpTiming timing{.source = cupti_ ? CostSource::kCupti : CostSource::kTimed};
  work.enqueue(0, stream_);  // the first call loads its kernels
  synchronise(stream_);
  const Seconds from = clock_.now();
  const int warm_up = std::max(count.warm_up, 1);
  for (int call = 0; call < warm_up; ++call) work.enqueue(call, stream_);
  // Ranges, records and the copy between executions take the host as long again.
  const Seconds queueing = 3.0 * (clock_.now() - from) / warm_up;
  synchronise(stream_);
  std::vector<CuptiKernel> kernels;
  for (int done = 0; done < count.timed; done += kBurst) {
    const int burst = std::min(kBurst, count.timed - done);
    run_burst(work, name,
              {.first = warm_up + done,
               .count = burst,
               .hold = std::min(kLongestHold, Seconds(1e-4) + queueing * burst)},
              timing, kernels);
  }
  if (cupti_) add_kernels(kernels, name, timing);
  if (timing.spans_ns.empty()) {
    throw Error(fmt::format("{}: none of its {} executions was recorded", name, count.timed));
  }
  return timing;
}

void DeviceTimer::run_burst(const OpWork& work, const std::string& name, const Burst& burst,
                            OpTiming& timing, std::vector<CuptiKernel>& kernels) {
  const auto events = static_cast<std::size_t>(cupti_ ? 0 : burst.count);
  std::vector<DeviceEvent> before(events), behind(events);
  hold_stream(burst.hold, stream_);
  for (int i = 0; i < burst.count; ++i) {
    const auto place = static_cast<std::size_t>(i);
    copy_on_device(between_.data(), between_.data() + kBetweenBytes, kBetweenBytes, stream_);
    const NvtxRange range(name);
    if (cupti_) {
      cupti_->begin_execution(static_cast<std::uint64_t>(burst.first + i));
    } else {
      before[place].record(stream_);
    }
    work.enqueue(burst.first + i, stream_);
    if (cupti_) {
      cupti_->end_execution();
    } else {
      behind[place].record(stream_);
    }
  }
  synchronise(stream_);
  for (std::size_t i = 0; i < events; ++i) {
    timing.spans_ns.push_back(std::llround(1e9 * behind[i].since(before[i]).value));
  }
  if (!cupti_) return;
  for (CuptiKernel& kernel : cupti_->take()) kernels.push_back(std::move(kernel));
}

void add_kernels(std::span<const CuptiKernel> kernels, const std::string& op, OpTiming& timing) {
  struct Span {
    std::int64_t from, to;
  };
  std::map<std::uint64_t, Span> spans;
  for (const CuptiKernel& kernel : kernels) {
    const auto [span, first] =
        spans.try_emplace(kernel.execution, Span{kernel.start_ns, kernel.end_ns});
    span->second.from = std::min(span->second.from, kernel.start_ns);
    span->second.to = std::max(span->second.to, kernel.end_ns);
    const auto alike = [&](const KernelRecord& r) {
      return r.name == kernel.name && r.grid == kernel.grid && r.block == kernel.block &&
             r.registers == kernel.registers;
    };
    auto record = std::ranges::find_if(timing.kernels, alike);
    const std::int64_t ns = kernel.end_ns - kernel.start_ns;
    if (record == timing.kernels.end()) {
      record = timing.kernels.insert(record, {.name = kernel.name,
                                              .op = op,
                                              .total_ns = 0,
                                              .min_ns = ns,
                                              .max_ns = ns,
                                              .grid = kernel.grid,
                                              .block = kernel.block,
                                              .registers = kernel.registers});
    }
    ++record->count;
    *record->total_ns += ns;
    record->min_ns = std::min(*record->min_ns, ns);
    record->max_ns = std::max(*record->max_ns, ns);
  }
  for (const auto& [execution, span] : spans) timing.spans_ns.push_back(span.to - span.from);
}

}  // namespace thermoe
