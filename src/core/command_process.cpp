// SPDX-License-Identifier: Apache-2.0
#include "core/command_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/errors.h"
#include "core/spawn_program.h"
#include "core/terminal_text.h"
#include "core/write_all.h"

namespace thermoe {
namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
constexpr int kSignalled = 128;
constexpr int kPipefuls = 16;  // a pipe holds 64 KiB, what one read takes

using Time = std::chrono::steady_clock;

void close_if_open(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

}  // namespace

CommandProcess::CommandProcess(const std::vector<std::string>& words, SignalQueue& signals,
                               OutputListener listener, int standard_output)
    : signals_(signals), listener_(std::move(listener)) {
  THERMOE_EXPECT(!words.empty(), "a command needs a word");
  start(words, standard_output);
}

CommandProcess::~CommandProcess() {
  for (Passage& passage : passages_) close_if_open(passage.from);
  if (exit_code_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void CommandProcess::ask_to_end() {
  if (!exit_code_) ::kill(pid_, SIGTERM);
}

void CommandProcess::start(const std::vector<std::string>& words, int standard_output) {
  SpawnRequest request{.words = words, .blocked = signals_.mask_before()};
  if (standard_output >= 0) {
    request.descriptors[1] = ::fcntl(standard_output, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  }
  if (listener_) {
    for (std::size_t output = 0; output < 2; ++output) {
      if (output == 0 && standard_output >= 0) continue;
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw Error(fmt::format("no pipe for the command's output: {}", std::strerror(errno)));
      }
      ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
      passages_[output] = {.from = ends[0], .to = static_cast<int>(output) + 1};
      request.descriptors[output + 1] = ends[1];
    }
  }
  const int error = spawn_program(request, pid_);
  for (int& fd : request.descriptors) close_if_open(fd);
  if (error == 0) return;
  for (Passage& passage : passages_) close_if_open(passage.from);
  exit_code_ = error == ENOENT ? kNotFound : kNotExecutable;
  fault_ = fmt::format("{}: cannot be run: {}", printable(words.front(), true),
                       why_not_run(words.front(), error));
}

bool CommandProcess::wait(Seconds longest) {
  const auto end = Time::now() + std::chrono::duration_cast<Time::duration>(
                                     std::chrono::duration<double>(longest.value));
  while (true) {
    reap();
    if (exit_code_) {
      finish_passages();
      return true;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Time::now());
    if (left.count() <= 0) return false;
    // poll passes over descriptors of -1: an output that is at its end, or not ours.
    std::array<pollfd, 3> watched{pollfd{.fd = signals_.fd(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = passages_[0].from, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = passages_[1].from, .events = POLLIN, .revents = 0}};
    if (::poll(watched.data(), watched.size(), static_cast<int>(left.count())) <= 0) continue;
    if (watched[0].revents != 0) take_signals();
    for (std::size_t output = 0; output < 2; ++output) {
      if (watched[output + 1].revents != 0) pass_on(output);
    }
  }
}

void CommandProcess::take_signals() {
  while (const auto signal = signals_.next()) {
    if (signal->number == SIGCHLD) continue;  // reap() looks
    interrupted_ = signal->number;
    if (!signal->from_terminal) ::kill(pid_, signal->number);
  }
}

void CommandProcess::reap() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
  exit_code_ = WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status);
}

/// Passes on what is there; false once there is nothing more for now.
bool CommandProcess::pass_on(std::size_t output) {
  Passage& passage = passages_[output];
  if (passage.from < 0) return false;
  char bytes[65536];
  const ssize_t count = ::read(passage.from, bytes, sizeof bytes);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    close_if_open(passage.from);
    return false;
  }
  listener_(output, {bytes, static_cast<std::size_t>(count)});
  // Where nobody reads ours, the command shall learn it from its own next write.
  if (write_all(passage.to, {bytes, static_cast<std::size_t>(count)}) != 0) {
    close_if_open(passage.from);
  }
  return true;
}

/// What the command wrote before it ended. Not up to the end of the pipes: a process that it left
/// in the background may hold them open, or write, for ever.
void CommandProcess::finish_passages() {
  for (std::size_t output = 0; output < 2; ++output) {
    for (int reads = 0; reads < kPipefuls && pass_on(output); ++reads) {
    }
    close_if_open(passages_[output].from);
  }
}

}  // namespace thermoe
