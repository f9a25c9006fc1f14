// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <filesystem>

#include "fuzz_input.h"
#include "report/run_data.h"

namespace thermoe {

/// The files of a run folder, in this order, each up to a line "%%"; an empty one is not there.
void parse_input(std::string_view bytes) {
  constexpr std::array kFiles = {"metrics.csv",  "summary.json",     "config.json",
                                 "details.json", "expert_usage.csv", "expert_bias.csv"};
  constexpr std::string_view kEnd = "%%\n";
  for (const char* name : kFiles) {
    const std::size_t end = bytes.find(kEnd);
    const std::string_view content = bytes.substr(0, end);
    bytes = end == std::string_view::npos ? "" : bytes.substr(end + kEnd.size());
    const std::string path = fuzz_file(name, content);
    if (content.empty()) std::filesystem::remove(path);
  }
  read_run(fuzz_folder());
}

}  // namespace thermoe
