// SPDX-License-Identifier: Apache-2.0
#include "metrics/metrics_board.h"

#include <algorithm>
#include <utility>

namespace thermoe {

MetricsBoard::MetricsBoard(Program program, const Clock& clock)
    : program_(std::move(program)), clock_(clock) {}

template <class Values, class Same>
void MetricsBoard::put(Newest<Values>& newest, Values values, const Same& same) {
  auto fresh = std::make_shared<const Published<Values>>(
      Published<Values>{.values = std::move(values), .at = clock_.now()});
  const std::lock_guard lock(mutex_);
  const auto old = std::ranges::find_if(
      newest, [&](const auto& known) { return same(known->values, fresh->values); });
  if (old == newest.end()) {
    newest.push_back(std::move(fresh));
  } else {
    old->swap(fresh);  // the older one is destroyed after the lock
  }
}

void MetricsBoard::publish(HardwareValues values) {
  put(hardware_, std::move(values),
      [](const HardwareValues& a, const HardwareValues& b) { return a.source == b.source; });
}

void MetricsBoard::publish(ControlValues values) {
  put(control_, std::move(values),
      [](const ControlValues& a, const ControlValues& b) { return a.labels == b.labels; });
}

std::vector<MetricFamily> MetricsBoard::collect() const {
  Newest<HardwareValues> hardware;
  Newest<ControlValues> control;
  {
    const std::lock_guard lock(mutex_);
    hardware = hardware_;
    control = control_;
  }
  const Seconds now = clock_.now();
  MetricsPage page;
  page.add(Exported::kBuildInfo, {{"version", program_.version}}, 1.0);
  for (const auto& published : hardware) {
    add_hardware(page, published->values,
                 {.hostname = program_.hostname, .since = now - published->at});
  }
  for (const auto& published : control) {
    add_control(page, published->values, now - published->at);
  }
  return page.families();
}

}  // namespace thermoe
