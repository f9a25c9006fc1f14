// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "profile/parsed_profile.h"

namespace thermoe {

/// A kernel that ran, as CUPTI recorded it.
struct CuptiKernel {
  std::uint64_t execution = 0;  ///< of the CuptiExecution around its launch
  std::string name{};           ///< demangled
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  Extent grid{};
  Extent block{};
  std::int64_t registers = 0;
};

/// CUPTI's records of the kernels that this process launches, from its making to its end. One at a
/// time in a process. It needs no tool outside; the library comes with the CUDA toolkit and is
/// loaded when this is made, so that a program that never profiles does not ask for it.
class CuptiActivity {
 public:
  /// `library`: a file; empty: libcupti.so.13 or .12 as the loader finds them, then beside the CUDA
  /// toolkit.
  explicit CuptiActivity(const std::string& library);
  ~CuptiActivity();
  CuptiActivity(const CuptiActivity&) = delete;
  CuptiActivity& operator=(const CuptiActivity&) = delete;

  /// Why nothing is recorded: no library, or another profiler has the device; with the remedy.
  const std::optional<std::string>& problem() const { return problem_; }
  /// What the calling thread launches from now on belongs to this execution, until `end_execution`.
  void begin_execution(std::uint64_t execution);
  void end_execution();
  /// Kernels of executions that have ended since the last call. Everything launched must have run
  /// (`synchronise`).
  std::vector<CuptiKernel> take();

 private:
  struct Api;
  std::unique_ptr<Api> api_;
  std::optional<std::string> problem_{};
};

}  // namespace thermoe
