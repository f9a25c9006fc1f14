// SPDX-License-Identifier: Apache-2.0
#include "core/spawn_program.h"

#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace thermoe {
namespace {

/// posix_spawn's settings: the mask and dispositions that the program had without us.
class Attributes {
 public:
  explicit Attributes(const SpawnRequest& request) {
    ::posix_spawnattr_init(&raw_);
    sigset_t ours;  // what main() ignores for itself
    sigemptyset(&ours);
    sigaddset(&ours, SIGXFSZ);
    ::posix_spawnattr_setsigdefault(&raw_, &ours);
    ::posix_spawnattr_setsigmask(&raw_, &request.blocked);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (request.own_group) flags |= POSIX_SPAWN_SETPGROUP;
    ::posix_spawnattr_setflags(&raw_, static_cast<short>(flags));
  }
  ~Attributes() { ::posix_spawnattr_destroy(&raw_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  const posix_spawnattr_t* get() const { return &raw_; }

 private:
  posix_spawnattr_t raw_{};
};

class FileActions {
 public:
  explicit FileActions(const SpawnRequest& request) {
    ::posix_spawn_file_actions_init(&raw_);
    for (int standard = 0; standard < 3; ++standard) {
      const int fd = request.descriptors[static_cast<std::size_t>(standard)];
      if (fd >= 0) ::posix_spawn_file_actions_adddup2(&raw_, fd, standard);
    }
  }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&raw_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  const posix_spawn_file_actions_t* get() const { return &raw_; }

 private:
  posix_spawn_file_actions_t raw_{};
};

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

int spawn_program(const SpawnRequest& request, pid_t& pid) {
  const std::vector<char*> arguments = pointers(request.words);
  std::vector<char*> environment;
  if (request.environment) environment = pointers(*request.environment);
  const FileActions files(request);
  const Attributes attributes(request);
  return ::posix_spawnp(&pid, arguments[0], files.get(), attributes.get(), arguments.data(),
                        request.environment ? environment.data() : environ);
}

std::string why_not_run(const std::string& word, int error) {
  std::error_code ignored;
  const bool is_path = word.find('/') != std::string::npos;  // others are looked up in PATH
  if (error == ENOENT && is_path && std::filesystem::exists(word, ignored)) {
    return "the interpreter that its first line names is not there";
  }
  if (error == ENOENT) return "no such command";
  if (error == EACCES && is_path && std::filesystem::is_directory(word, ignored)) {
    return "is a folder";
  }
  if (error == EACCES) return "permission denied; is it executable (chmod +x)?";
  if (error == ENOEXEC) return "neither a program nor a script that begins like #!/bin/sh";
  return std::strerror(error);
}

}  // namespace thermoe
