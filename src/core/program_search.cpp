// SPDX-License-Identifier: Apache-2.0
#include "core/program_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "core/program_output.h"
#include "core/readable.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/// What a program wrote, fit to be shown: one line, printable, short.
std::string first_line(const std::string& text) {
  constexpr int kShown = 80;
  const std::string line = trimmed(text);
  return fit(printable(line.substr(0, line.find('\n')), true), kShown, true);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::vector<std::string> folders_of(const std::string& path) {
  std::vector<std::string> folders;
  std::istringstream in(path);
  for (std::string folder; std::getline(in, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

}  // namespace

ProgramPlaces own_program_places() {
  ProgramPlaces places{.path = folders_of(variable("PATH")), .environment = {"LC_ALL=C"}};
  for (const char* name : {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"}) {
    const std::string value = variable(name);
    if (!value.empty()) places.environment.push_back(std::string(name) + "=" + value);
  }
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string home = variable(name); !home.empty()) places.cuda_homes.push_back(home);
  }
  return places;
}

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0;
}

std::vector<std::string> folders_like(const ProgramPlaces& places, const std::string& pattern) {
  std::vector<std::string> found{places.root};
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

std::vector<std::string> cuda_folders(const ProgramPlaces& places, const std::string& below) {
  std::vector<std::string> folders;
  for (const std::string& home : places.cuda_homes) folders.push_back(home + below);
  for (const char* place : {"/usr/local/cuda", "/usr/local/cuda-*", "/opt/cuda"}) {
    for (const std::string& folder : folders_like(places, place)) {
      folders.push_back(folder + below);
    }
  }
  return folders;
}

std::optional<std::string> find_program(const ProgramPlaces& places,
                                        const std::vector<std::string>& names,
                                        const std::vector<std::string>& folders) {
  for (const auto* searched : {&places.path, &folders}) {
    for (const std::string& folder : *searched) {
      for (const std::string& name : names) {
        std::string path = fmt::format("{}/{}", folder, name);
        if (is_program(path)) return path;
      }
    }
  }
  return std::nullopt;
}

VersionAnswer ask_version(const ProgramPlaces& places, const std::string& program,
                          const VersionQuestion& question) {
  const ProgramOutput output =
      run_program({program, question.argument},
                  {.environment = places.environment, .patience = places.patience});
  if (!output.succeeded()) {
    const std::string said = first_line(output.err);
    return {.fault = fmt::format("{} {}{}", question.argument, output.failure(places.patience),
                                 said.empty() ? "" : fmt::format(": {}", said))};
  }
  const std::size_t mark = output.out.find(question.before);
  auto version = mark == std::string::npos
                     ? std::nullopt
                     : first_version(output.out, mark + question.before.size());
  if (!version) {
    return {.fault = fmt::format("{} printed no version: \"{}\"", question.argument,
                                 first_line(output.out))};
  }
  return {.version = std::move(version)};
}

}  // namespace thermoe
