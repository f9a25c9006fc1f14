// SPDX-License-Identifier: Apache-2.0
#include "doctor/program_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/terminal_text.h"
#include "doctor/program_output.h"
#include "doctor/readable.h"

namespace thermoe::doctor {
namespace {

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0;
}

/// What a program wrote, fit to be shown: one line, printable, short.
std::string first_line(const std::string& text) {
  constexpr int kShown = 80;
  const std::string line = trimmed(text);
  return fit(printable(line.substr(0, line.find('\n')), true), kShown, true);
}

}  // namespace

std::vector<std::string> folders_like(const HostSystem& machine, const std::string& pattern) {
  std::vector<std::string> found{machine.root};
  for (std::size_t at = 0; at < pattern.size();) {
    const std::size_t end = std::min(pattern.find('/', at + 1), pattern.size());
    const std::string component = pattern.substr(at + 1, end - at - 1);
    std::vector<std::string> next;
    for (const std::string& folder : found) {
      if (component.back() != '*') {
        next.push_back(fmt::format("{}/{}", folder, component));
        continue;
      }
      std::vector<std::string> names = names_in(folder + "/");
      std::reverse(names.begin(), names.end());
      for (const std::string& name : names) {
        if (name.compare(0, component.size() - 1, component, 0, component.size() - 1) == 0) {
          next.push_back(fmt::format("{}/{}", folder, name));
        }
      }
    }
    found = std::move(next);
    at = end;
  }
  found.erase(std::remove_if(found.begin(), found.end(),
                             [](const std::string& path) { return !is_folder(path); }),
              found.end());
  return found;
}

std::optional<std::string> find_program(const HostSystem& machine,
                                        const std::vector<std::string>& names,
                                        const std::vector<std::string>& folders) {
  for (const auto* places : {&machine.path, &folders}) {
    for (const std::string& folder : *places) {
      for (const std::string& name : names) {
        std::string path = fmt::format("{}/{}", folder, name);
        if (is_program(path)) return path;
      }
    }
  }
  return std::nullopt;
}

std::optional<std::string> ask_version(const HostSystem& machine, const std::string& program,
                                       const VersionQuestion& question, Finding& finding) {
  const ProgramOutput output =
      run_program({program, question.argument},
                  {.environment = machine.environment, .patience = machine.patience});
  finding.status = Status::kBroken;
  finding.value = program;
  if (!output.succeeded()) {
    const std::string said = first_line(output.err);
    finding.detail = fmt::format("{} {}{}", question.argument, output.failure(machine.patience),
                                 said.empty() ? "" : fmt::format(": {}", said));
    return std::nullopt;
  }
  const std::size_t mark = output.out.find(question.before);
  auto version = mark == std::string::npos
                     ? std::nullopt
                     : first_version(output.out, mark + question.before.size());
  if (!version) {
    finding.detail =
        fmt::format("{} printed no version: \"{}\"", question.argument, first_line(output.out));
    return std::nullopt;
  }
  finding.status = Status::kFound;
  finding.value = fmt::format("{} ({})", *version, program);
  return version;
}

}  // namespace thermoe::doctor
