// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "profile/record/nvtx_range.h"
#include "profile/record/op_timer.h"

namespace thermoe {

OpTiming HostTimer::time(const OpWork& work, const std::string& name, ExecutionCount count) {
  const Stream none{nullptr};
  for (int call = 0; call < count.warm_up; ++call) work.enqueue(call, none);
  OpTiming timing;
  for (int i = 0; i < count.timed; ++i) {
    const NvtxRange range(name);
    const Seconds from = clock_.now();
    work.enqueue(count.warm_up + i, none);
    timing.spans_ns.push_back(std::llround(1e9 * (clock_.now() - from).value));
  }
  return timing;
}

}  // namespace thermoe
