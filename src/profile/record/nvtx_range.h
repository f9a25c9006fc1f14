// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe {

/// A push/pop range of the NVTX domain `thermoe` on the calling thread, by which profilers and
/// `thermoe parse` attribute what is launched in it. Nothing in programs that were built without
/// CUDA, and next to nothing where no profiler listens.
class NvtxRange {
 public:
  explicit NvtxRange(const std::string& name);
  ~NvtxRange();
  NvtxRange(const NvtxRange&) = delete;
  NvtxRange& operator=(const NvtxRange&) = delete;
};

}  // namespace thermoe
