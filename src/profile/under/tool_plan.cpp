// SPDX-License-Identifier: Apache-2.0
#include "profile/under/tool_plan.h"

#include <string_view>

namespace thermoe {
namespace {

std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'') {
      text += "'\\''";
    } else {
      text += c;
    }
  }
  return text + "'";
}

std::string line_of(const ToolStep& step) {
  std::string line;
  for (const std::string& word : step.words) line += (line.empty() ? "" : " ") + quoted(word);
  if (!step.into.empty()) line += " > " + quoted(step.into);
  return line + "\n";
}

}  // namespace

std::string to_shell(const ToolPlan& plan) {
  std::string text = line_of(plan.profile);
  for (const ToolStep& step : plan.conversions) text += line_of(step);
  return text;
}

}  // namespace thermoe
