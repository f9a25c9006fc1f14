// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.h"

namespace thermoe {

inline constexpr std::string_view kGpuFlag = "--gpu";

/// Which GPUs are shown or measured.
struct GpuSelection {
  /// Who asked: "--gpu" or "CUDA_VISIBLE_DEVICES". Empty: nobody, all of them.
  std::string origin{};
  std::vector<std::string> names{};  ///< NVML indices, and UUIDs or their beginnings
  /// What of CUDA_VISIBLE_DEVICES could not be followed; empty mostly.
  std::string note{};

  bool all() const { return origin.empty(); }
};

/// What --gpu says: "all", or indices and UUIDs ("GPU-8932f937" is enough of one) with commas
/// between them. Throws UsageError.
GpuSelection gpus_of_flag(std::string_view text);

/// What CUDA_VISIBLE_DEVICES says, where it is set. As CUDA reads it, the first entry that is no
/// index and no UUID ends the list, so that -1 or nothing at all leaves no GPU. MIG devices, whose
/// power nobody measures apart, are passed over with all else that it says.
GpuSelection gpus_of_cuda(std::string_view text);

/// Those of a snapshot that are selected.
struct SelectedGpus {
  std::vector<GpuReading> gpus{};
  std::string amiss{};  ///< a name that stands for none or for several, and what there is
  bool certain = true;  ///< it will not be otherwise once a GPU that is lost tells its UUID
};
SelectedGpus select(const GpuSelection& selection, const std::vector<GpuReading>& gpus);

}  // namespace thermoe
