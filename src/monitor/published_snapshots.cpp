// SPDX-License-Identifier: Apache-2.0
#include "monitor/published_snapshots.h"

#include <algorithm>

namespace thermoe {
namespace {

constexpr Seconds kKeep{5.0};

}  // namespace

PublishedSnapshots::PublishedSnapshots(MetricsBoard* board, Seconds period)
    : board_(board), keep_(std::max(kKeep, 3.0 * period)) {}

void PublishedSnapshots::publish(const std::vector<LabelledSnapshot>& fresh) {
  if (board_ == nullptr) return;
  for (const LabelledSnapshot& taken : fresh) {
    HardwareValues values{.source = taken.source, .snapshot = taken.snapshot, .keep = keep_};
    for (GpuReading& gpu : values.snapshot.gpus) fill_in(taken.source, gpu);
    board_->publish(std::move(values));
  }
}

// The counter is read once a second and absent from the snapshots between; a page shows its newest
// value, with its own age.
void PublishedSnapshots::fill_in(const std::string& source, GpuReading& gpu) {
  Reading<Joules>& newest = energy_[{source, gpu.index}];
  if (gpu.energy.value) {
    newest = gpu.energy;
  } else if (!gpu.energy.rejected) {
    gpu.energy = newest;
  }
}

}  // namespace thermoe
