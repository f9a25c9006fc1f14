// SPDX-License-Identifier: Apache-2.0
#include "doctor/doctor_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/terminal_text.h"
#include "core/wrapped_text.h"

namespace thermoe::doctor {
namespace {

constexpr std::size_t kStatusWidth = 9;  // "  missing"
constexpr std::size_t kNarrow = 60;      // below, text starts further left
constexpr std::size_t kLeastWidth = 20;  // a terminal that says less does not mean it

struct Mark {
  const char* word;
  const char* colour;  // of a terminal, SGR
};

Mark mark_of(Status status) {
  switch (status) {
    case Status::kFound:
      return {"ok", "32"};
    case Status::kMissing:
      return {"missing", "33"};
    case Status::kBroken:
      return {"broken", "31"};
    case Status::kNotPermitted:
      return {"denied", "31"};
    case Status::kUnknown:
      break;
  }
  return {"unknown", "2"};
}

std::string coloured(const std::string& text, const char* code, const TextStyle& style) {
  return style.colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

/// Names come from drivers, files and programs: nothing of them but text reaches the terminal. Line
/// breaks stay, those of remedies.
std::string clean(const std::string& text, const TextStyle& style) {
  std::string all;
  for (std::size_t line = 0; line < text.size();) {
    const std::size_t end = std::min(text.find('\n', line), text.size());
    if (line > 0) all += '\n';
    all += printable(text.substr(line, end - line), style.unicode);
    line = end + 1;
  }
  return all;
}

/// One labelled paragraph under a finding.
std::string paragraph(const std::string& label, const std::string& text, std::size_t indent,
                      const TextStyle& style) {
  if (text.empty()) return "";
  const std::string start = std::string(indent, ' ') + label;
  return start + wrapped(clean(text, style), style.width, indent, start.size()) + "\n";
}

/// `shown`: the remedy that was shown last; the same is not shown twice.
std::string finding_text(const Finding& finding, const TextStyle& style, std::string& shown) {
  const Mark mark = mark_of(finding.status);
  const std::string head = fmt::format("  {:<{}}", mark.word, kStatusWidth);
  const std::size_t indent = style.width < kNarrow ? 4 : head.size();
  // A finding without value tells its story in the detail.
  const std::string& line = finding.value.empty() ? finding.detail : finding.value;
  const std::string title = line.empty() ? finding.title : finding.title + ": " + line;
  std::string text = "  " + coloured(mark.word, mark.colour, style) +
                     std::string(head.size() - 2 - std::string(mark.word).size(), ' ') +
                     wrapped(clean(title, style), style.width, indent, head.size()) + "\n";
  if (!finding.value.empty()) text += paragraph("", finding.detail, indent, style);
  // What could not be told because something else is missing is mended with that.
  if (finding.found() || finding.remedy.empty()) return text;
  text += paragraph("Enables: ", finding.enables, indent, style);
  const bool same = finding.remedy == shown;
  text += paragraph("Remedy: ", same ? "as above" : finding.remedy, indent, style);
  shown = finding.remedy;
  return text;
}

}  // namespace

std::string summary_line(const Diagnosis& diagnosis) {
  std::string line;
  for (const Ability& ability : diagnosis.abilities) {
    if (!line.empty()) line += "; ";
    line += fmt::format("{}: {}", ability.title, ability.possible ? "yes" : "no");
    if (!ability.reason.empty()) line += fmt::format(" ({})", ability.reason);
  }
  return line;
}

std::string to_text(const Diagnosis& diagnosis, const TextStyle& asked) {
  TextStyle style = asked;
  style.width = std::max(style.width, kLeastWidth);
  std::string text, remedy;
  for (const Section& section : diagnosis.sections) {
    text += coloured(section.title, "1", style) + "\n";
    for (const Finding& finding : section.findings) text += finding_text(finding, style, remedy);
    text += "\n";
  }
  const std::string head = "Here and now: ";
  text += coloured("Here and now:", "1", style) + " " +
          wrapped(clean(summary_line(diagnosis), style) + ".", style.width, 2, head.size()) + "\n";
  return text;
}

}  // namespace thermoe::doctor
