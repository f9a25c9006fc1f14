// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace thermoe {

/// One program to run.
struct ToolStep {
  std::vector<std::string> words{};
  std::string into{};  ///< file that takes its standard output; empty: this program's
};

/// What to run, and what it leaves.
struct ToolPlan {
  ToolStep profile{};                    ///< runs the child under the tool
  std::vector<ToolStep> conversions{};   ///< of its report, in this order
  std::string report{};                  ///< what `profile` leaves
  std::vector<std::string> converted{};  ///< what each conversion leaves; the first is to be parsed
};

/// The steps as lines for a shell, in which they do the same.
std::string to_shell(const ToolPlan& plan);

}  // namespace thermoe
