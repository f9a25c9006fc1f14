// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// Blocks of a grid, or threads of a block: x, y, z.
using Extent = std::array<std::int64_t, 3>;

/// All launches of one kernel that are alike: same name, op, grid, block and registers.
struct KernelRecord {
  std::optional<std::string> name{};  ///< demangled, as far as the profiler knew it
  std::optional<std::string> op{};    ///< the range that owns its launches (OpRanges)
  std::int64_t count = 0;
  /// Of all launches together, and of single ones. Absent where one was not timed.
  std::optional<std::int64_t> total_ns{};
  std::optional<std::int64_t> min_ns{};
  std::optional<std::int64_t> max_ns{};
  std::optional<Extent> grid{};
  std::optional<Extent> block{};
  std::optional<std::int64_t> registers{};  ///< of a thread
  /// Of the whole board while these ran, all launches together. Absent where one ran between no two
  /// samples.
  std::optional<Joules> energy{};
  std::optional<Watts> mean_power{};  ///< by time, over the launches that ran between samples
  std::optional<Celsius> mean_temperature{};
};

/// One range's work on the GPU: from the start of the first kernel that it launched to the end of
/// the last.
struct Execution {
  std::int64_t span_ns = 0;
  std::optional<Joules> energy{};  ///< of the whole board; absent where no samples surround it
};

/// All ranges of one name in the domain that says which op a kernel belongs to.
struct RangeRecord {
  std::string name{};
  std::string domain{};
  std::optional<std::int64_t> count{};     ///< absent where the tool does not list them
  std::optional<std::int64_t> total_ns{};  ///< on the host; absent, too, where one did not end
  std::int64_t kernels = 0;                ///< launched by it and by no range within it
  std::int64_t kernel_ns = 0;              ///< theirs, on the GPU
  std::vector<Execution> executions{};     ///< of those with kernels, where asked for
};

/// What a profiler's output says, by op. Nothing in it is guessed: what the file does not hold is
/// absent, and `missing` says so.
struct ParsedProfile {
  std::string file{};
  std::string tool{};                    ///< nsys, ncu or kineto
  std::optional<std::string> version{};  ///< of the tool
  std::vector<std::string> devices{};    ///< names of the GPUs, as far as the file has them
  std::vector<KernelRecord> kernels{};   ///< longest total first; each kernel row counts in one
  std::int64_t orphan_kernels = 0;       ///< whose launch is not in the file: they have no op
  std::vector<RangeRecord> ranges{};     ///< most time on the GPU first
  std::vector<std::string> missing{};    ///< tables and columns that the file lacks, and why
};

}  // namespace thermoe
