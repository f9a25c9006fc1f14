// SPDX-License-Identifier: Apache-2.0
#include "report/html_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "report/page_files.h"
#include "report/report_data.h"
#include "report/verdict.h"

namespace thermoe {
namespace {

std::string title(const std::vector<RunData>& runs) {
  const std::string text =
      runs.size() == 2 ? fmt::format("{} against {}", runs[0].name, runs[1].name) : runs[0].name;
  const bool first = runs.front().summary.simulated, last = runs.back().summary.simulated;
  if (first != last) return text + (first ? " (A simulated)" : " (B simulated)");
  return first ? text + " (simulated)" : text;
}

/// Paragraphs, so that the verdict is there without a script.
std::string verdicts(const std::vector<RunData>& runs) {
  std::string out;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string label =
        runs.size() == 2
            ? fmt::format("<strong>{}: {}.</strong> ", i == 0 ? "A" : "B", html_text(runs[i].name))
            : "";
    out +=
        fmt::format("<p class=\"verdict{}\">{}{}</p>\n", runs[i].interrupted ? " interrupted" : "",
                    label, html_text(verdict(runs[i])));
  }
  return out;
}

}  // namespace

std::string html_report(const std::vector<RunData>& runs, const std::string& version) {
  THERMOE_EXPECT(runs.size() == 1 || runs.size() == 2, "a report shows one run or two, not {}",
                 runs.size());
  return html_page(
      {.kind = "thermoe report",
       .title = title(runs),
       .verdict = verdicts(runs),
       .controls = "Show and hide strategies, zoom and theme",
       .settings = "Settings and machine",
       .data = report_json(runs, version),
       .scripts = {embedded_page_palette(), embedded_page_tables(), embedded_page_figures(),
                   embedded_page_maps(), embedded_page_controls(), embedded_page_main()}});
}

void write_html_report(const std::vector<std::string>& folders, const std::string& path,
                       const std::string& version) {
  std::vector<RunData> runs;
  runs.reserve(folders.size());
  for (const std::string& folder : folders) runs.push_back(read_run(folder));
  if (runs.size() == 2 && runs[0].name == runs[1].name) {  // then only the folders tell them apart
    for (RunData& run : runs) run.name = run.folder;
  }
  write_file_atomically(path, html_report(runs, version));
}

std::string default_report_path(const std::vector<std::string>& folders) {
  std::string folder = folders.front();
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder + (folders.size() == 2 ? "/comparison.html" : "/report.html");
}

}  // namespace thermoe
