// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "core/snapshot.h"
#include "telemetry/gpu_selection.h"

namespace thermoe {

/// Leaves the GPUs in snapshots that are to be measured.
class ChosenGpus {
 public:
  explicit ChosenGpus(GpuSelection selection) : selection_(std::move(selection)) {}

  Snapshot of(Snapshot snapshot);
  /// What of --gpu stands for no GPU, or for several. Absent until one was seen.
  std::optional<std::string> fault() const;
  /// What else must be known: which GPUs are left out, and by whom. Empty if none is.
  std::string note() const;

 private:
  GpuSelection selection_;
  SelectedGpus selected_{};
  std::size_t all_ = 0;
};

}  // namespace thermoe
