// SPDX-License-Identifier: Apache-2.0
#include "thermoe_process.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace thermoe {
namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

[[noreturn]] void become(const std::vector<std::string>& arguments, const ProcessOptions& options,
                         const std::string& out, const std::string& err) {
  if (std::freopen(out.c_str(), "w", stdout) == nullptr) ::_exit(120);
  if (std::freopen(err.c_str(), "w", stderr) == nullptr) ::_exit(121);
  if (::chdir(THERMOE_SOURCE_DIR) != 0) ::_exit(122);
  if (options.file_size_limit) {
    const rlimit limit{.rlim_cur = *options.file_size_limit, .rlim_max = *options.file_size_limit};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  std::vector<std::string> words = {THERMOE_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(THERMOE_BINARY, argv.data());
  ::_exit(123);
}

/// Far beyond any run of the tests, so that one that hangs ends them instead of stopping them.
constexpr std::chrono::minutes kPatience{4};

/// Waits for the end; sends the signal when the watched file is long enough.
int wait_for(pid_t child, const ProcessOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  bool sent = options.signal == 0;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (std::chrono::steady_clock::now() > deadline) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      throw std::runtime_error("thermoe did not end within 4 minutes");
    }
    if (sent) continue;
    const std::string text = content(options.watched_file);
    if (std::count(text.begin(), text.end(), '\n') <= options.signal_after_lines) continue;
    ::kill(child, options.signal);
    sent = true;
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ProcessResult thermoe_process(const std::vector<std::string>& arguments,
                              const ProcessOptions& options) {
  const auto folder = std::filesystem::temp_directory_path();
  const std::string stem = (folder / ("thermoe_process." + std::to_string(::getpid()))).string();
  const pid_t child = ::fork();
  if (child == 0) become(arguments, options, stem + ".out", stem + ".err");
  const int code = wait_for(child, options);
  ProcessResult result{
      .exit_code = code, .out = content(stem + ".out"), .err = content(stem + ".err")};
  std::filesystem::remove(stem + ".out");
  std::filesystem::remove(stem + ".err");
  return result;
}

}  // namespace thermoe
