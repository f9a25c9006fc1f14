// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// One NVTX range that a kernel was launched in.
struct NcuRange {
  std::string domain{};  ///< kDefaultDomain for the one without a name
  std::string name{};
};

/// The ranges in a cell of ncu's NVTX columns, from the outermost in:
/// `1  "thermoe:fc1:none:none:none:none:none:none"  "..."`.
std::vector<NcuRange> ncu_ranges(std::string_view cell);

}  // namespace thermoe
