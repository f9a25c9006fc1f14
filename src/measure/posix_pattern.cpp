// SPDX-License-Identifier: Apache-2.0
#include "measure/posix_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::size_t kLongest = 1000;  // who compiles it goes as deep as it nests

[[noreturn]] void refuse(std::string_view pattern, const std::string& why) {
  throw UsageError(fmt::format("--units-regex '{}': {}", printable(pattern, true), why));
}

bool in(std::string_view set, char c) { return set.find(c) != std::string_view::npos; }

/// What follows a backslash, not in brackets.
std::string escaped(std::string_view pattern, char c) {
  if (c == 'd') return "[0-9]";
  if (c == 'D') return "[^0-9]";
  if (in("123456789", c)) {
    refuse(pattern, fmt::format("\\{} refers back to a group, which may take for ever; write out "
                                "what it shall match",
                                c));
  }
  if (std::isalnum(static_cast<unsigned char>(c)) != 0 && !in("sSwWbB", c)) {
    refuse(pattern,
           fmt::format("\\{} is not known; \\d, \\s, \\w, \\b and \\D, \\S, \\W, \\B are", c));
  }
  return {'\\', c};
}

/// The length of the [...] that `rest` begins with.
std::size_t bracket(std::string_view pattern, std::string_view rest) {
  std::size_t end = rest.starts_with("[^") ? 2 : 1;
  if (end < rest.size() && rest[end] == ']') ++end;
  for (; end < rest.size() && rest[end] != ']'; ++end) {
    if (rest[end] == '\\') {
      refuse(pattern,
             "in [...] there is no \\: write 0-9 for \\d, [:space:] for \\s, [:alnum:]_ for "
             "\\w, and other characters as they are (] first, - last)");
    }
    if (rest.substr(end, 2) == "[:") end = std::min(rest.find(":]", end), rest.size() - 2) + 1;
  }
  return std::min(end + 1, rest.size());
}

}  // namespace

PosixPattern posix_pattern(const std::string& pattern) {
  if (pattern.size() > kLongest) {
    refuse(pattern.substr(0, 40) + "...", fmt::format("is longer than {} bytes", kLongest));
  }
  PosixPattern posix;
  std::size_t opened = 0;
  std::size_t asked_for = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const std::string_view rest = std::string_view(pattern).substr(at);
    const char next = rest.size() > 1 ? rest[1] : '\0';
    if (rest[0] == '\\' && rest.size() > 1) {
      posix.text += escaped(pattern, next);
      ++at;
    } else if (rest[0] == '[') {
      const std::size_t length = bracket(pattern, rest);
      posix.text += rest.substr(0, length);
      at += length - 1;
    } else if (rest[0] == '(') {
      ++opened;
      posix.text += '(';
      if (rest.starts_with("(?:")) {
        at += 2;
      } else if (next == '?') {
        refuse(pattern, "of what begins with (? only (?:...) is known");
      } else {
        ++asked_for;
        posix.group = opened;
      }
    } else if (in("*+?", rest[0]) && next == '?') {
      refuse(pattern,
             fmt::format("there is no lazy {}?; say what may come between, such as [^0-9]* "
                         "for .*?",
                         rest[0]));
    } else if (rest[0] == '{') {
      if (in("0123456789,", next)) {
        refuse(pattern,
               "there are no counts such as {3}; repeat with * or +, or write it out ({ "
               "itself is \\{)");
      }
      posix.text += "\\{";
    } else {
      posix.text += rest[0];
    }
  }
  if (asked_for != 1) {
    refuse(pattern,
           fmt::format("has {} groups; put one pair of parentheses around the number, as in "
                       "'generated ([0-9.]+) tokens' ((?:...) groups without counting)",
                       asked_for));
  }
  return posix;
}

}  // namespace thermoe
