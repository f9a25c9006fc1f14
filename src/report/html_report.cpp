// SPDX-License-Identifier: Apache-2.0
#include "report/html_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "report/page_files.h"
#include "report/report_data.h"
#include "report/verdict.h"

namespace thermoe {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

/// Replaces each {{name}} of the template once, from left to right: what is filled in is not looked
/// at again, so that data may hold braces.
std::string fill(std::string_view page, const Fields& fields) {
  std::string out;
  for (;;) {
    const std::size_t open = page.find("{{");
    out += page.substr(0, open);
    if (open == std::string_view::npos) return out;
    const std::size_t close = page.find("}}", open);
    const std::string_view name = page.substr(open + 2, close - open - 2);
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& one) { return one.first == name; });
    THERMOE_EXPECT(field != fields.end(), "the page's template asks for {{{{{}}}}}", name);
    out += field->second;
    page.remove_prefix(close + 2);
  }
}

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

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string script_json(const nlohmann::json& value) {
  const std::string text = json_text(value);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {  // these stand only within strings
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string html_report(const std::vector<RunData>& runs, const std::string& version) {
  THERMOE_EXPECT(runs.size() == 1 || runs.size() == 2, "a report shows one run or two, not {}",
                 runs.size());
  const std::string name = html_text(title(runs));
  const std::string sentences = verdicts(runs);
  const std::string data = script_json(report_json(runs, version));
  std::string script;
  for (const std::string_view part :
       {embedded_page_palette(), embedded_page_tables(), embedded_page_figures(),
        embedded_page_maps(), embedded_page_controls(), embedded_page_main()}) {
    script += part;
  }
  return fill(embedded_page_template(), {{"title", name},
                                         {"verdict", sentences},
                                         {"style", embedded_page_style()},
                                         {"plotly", embedded_plotly()},
                                         {"data", data},
                                         {"script", script}});
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
