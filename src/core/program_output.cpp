// SPDX-License-Identifier: Apache-2.0
#include "core/program_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "core/spawn_program.h"

namespace thermoe {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How often a silent program is checked for its end: a child of its own may hold the pipe open.
constexpr milliseconds kGlance{10};
/// A killed process that hangs in the kernel is left behind after this.
constexpr milliseconds kReaping{1000};

/// A pipe's two ends, closed when done.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) error_ = errno;
  }
  ~Pipe() {
    for (int& end : ends_) close(end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int error() const { return error_; }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void close_write_end() { close(ends_[1]); }
  void make_reads_return_at_once() const { ::fcntl(ends_[0], F_SETFL, O_NONBLOCK); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_{-1, -1};
  int error_ = 0;
};

/// Starts the program; returns errno.
int start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
          const Pipe& out, const Pipe& err, pid_t& child) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return errno;
  SpawnRequest request{.words = arguments,
                       .environment = environment,
                       .descriptors = {nothing, out.write_end(), err.write_end()},
                       .own_group = true};
  sigemptyset(&request.blocked);
  const int error = spawn_program(request, child);
  ::close(nothing);
  return error;
}

/// Appends what the pipe holds now. False once it is at its end or `text` is too long.
bool drain(const Pipe& pipe, std::string& text, std::size_t longest) {
  char buffer[4096];
  while (text.size() <= longest) {
    const ssize_t n = ::read(pipe.read_end(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return false;
}

/// Whether the child has ended. It stays a zombie, so that its process group is still its own.
bool has_ended(pid_t child) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == child;
}

/// Reads both streams until the child ends, writes too much or has used up the patience.
void listen(pid_t child, const Pipe& out, const Pipe& err, const ProgramOptions& options,
            ProgramOutput& result) {
  const auto deadline = SteadyClock::now() + options.patience;
  std::array<pollfd, 2> streams{pollfd{.fd = out.read_end(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = err.read_end(), .events = POLLIN, .revents = 0}};
  while (true) {
    const bool ended = has_ended(child);  // asked first: what it wrote before is then all there
    if (!drain(out, result.out, options.longest_output)) streams[0].fd = -1;
    if (!drain(err, result.err, options.longest_output)) streams[1].fd = -1;
    result.too_long = std::max(result.out.size(), result.err.size()) > options.longest_output;
    if (ended || result.too_long) break;
    if (SteadyClock::now() >= deadline) {
      result.timed_out = true;
      break;
    }
    ::poll(streams.data(), streams.size(), static_cast<int>(kGlance.count()));
  }
  result.out.resize(std::min(result.out.size(), options.longest_output));
  result.err.resize(std::min(result.err.size(), options.longest_output));
}

/// Kills what is left of the process group and takes the child's exit code.
std::optional<int> end(pid_t child, bool ended_by_itself) {
  ::kill(-child, SIGKILL);
  const auto deadline = SteadyClock::now() + kReaping;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (SteadyClock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(milliseconds(1));
  }
  if (!ended_by_itself || !WIFEXITED(status)) return std::nullopt;
  return WEXITSTATUS(status);
}

}  // namespace

std::string ProgramOutput::failure(milliseconds patience) const {
  if (start_error != 0) return fmt::format("cannot be started: {}", std::strerror(start_error));
  if (timed_out) {
    return fmt::format("did not answer within {:g} s and was stopped",
                       static_cast<double>(patience.count()) / 1000.0);
  }
  if (too_long) return "wrote far more than a version and was stopped";
  if (!exit_code) return "was ended by a signal";
  return fmt::format("ended with exit code {}", *exit_code);
}

ProgramOutput run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options) {
  Pipe out, err;
  pid_t child = -1;
  if (const int error = std::max(out.error(), err.error()); error != 0) {
    return {.start_error = error};
  }
  if (const int error = start(arguments, options.environment, out, err, child); error != 0) {
    return {.start_error = error};
  }
  for (Pipe* pipe : {&out, &err}) {
    pipe->close_write_end();
    pipe->make_reads_return_at_once();
  }
  ProgramOutput result;
  listen(child, out, err, options, result);
  result.exit_code = end(child, !result.timed_out && !result.too_long);
  return result;
}

}  // namespace thermoe
