// SPDX-License-Identifier: Apache-2.0
#include "terminal_process.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "core/program_output.h"

namespace thermoe {
namespace {

constexpr auto kLongest = std::chrono::seconds(30);

[[noreturn]] void become(const std::vector<std::string>& words, const Environment& environment) {
  ::unsetenv("NO_COLOR");
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  ::setenv("TERM", "xterm-256color", 1);
  ::setenv("LC_ALL", "C.UTF-8", 1);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(123);
}

std::string without_codes(const std::string& line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      text += line[i];
      continue;
    }
    i += 2;  // ESC [
    while (i < line.size() && (line[i] < '@' || line[i] > '~')) ++i;
  }
  return text;
}

}  // namespace

bool pseudo_terminals_exist() {
  int terminal = -1;
  int keeper = -1;
  if (::openpty(&terminal, &keeper, nullptr, nullptr, nullptr) != 0) return false;
  ::close(terminal);
  ::close(keeper);
  return true;
}

TerminalProcess::TerminalProcess(const std::vector<std::string>& words, int columns, int rows,
                                 const Environment& environment) {
  const winsize size{.ws_row = static_cast<unsigned short>(rows),
                     .ws_col = static_cast<unsigned short>(columns),
                     .ws_xpixel = 0,
                     .ws_ypixel = 0};
  if (::openpty(&terminal_, &keeper_, nullptr, nullptr, &size) != 0) {
    throw std::runtime_error("no pseudo terminal");
  }
  child_ = ::fork();
  if (child_ == 0) {
    ::close(terminal_);
    ::login_tty(keeper_);
    become(words, environment);
  }
}

TerminalProcess::~TerminalProcess() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ::close(keeper_);
  ::close(terminal_);
}

bool TerminalProcess::read_some() {
  pollfd watched{.fd = terminal_, .events = POLLIN, .revents = 0};
  if (::poll(&watched, 1, 20) <= 0) return false;
  char bytes[4096];
  const ssize_t count = ::read(terminal_, bytes, sizeof bytes);
  if (count <= 0) return false;
  output_.append(bytes, static_cast<std::size_t>(count));
  return true;
}

bool TerminalProcess::shows(const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + kLongest;
  while (std::chrono::steady_clock::now() < end) {
    const auto found = output_.find(text, seen_);
    if (found != std::string::npos) {
      seen_ = found + text.size();
      return true;
    }
    read_some();
  }
  return false;
}

void TerminalProcess::type(const std::string& keys) const {
  if (::write(terminal_, keys.data(), keys.size()) < 0) throw std::runtime_error("cannot type");
}

void TerminalProcess::resize(int columns, int rows) const {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  ::ioctl(terminal_, TIOCSWINSZ, &size);
}

void TerminalProcess::signal(int number) const { ::kill(child_, number); }

bool TerminalProcess::is_as_before() const {
  termios settings{};
  ::tcgetattr(keeper_, &settings);
  return (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0;
}

int TerminalProcess::wait() {
  int status = 0;
  const auto end = std::chrono::steady_clock::now() + kLongest;
  while (::waitpid(child_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) return -1000;
    read_some();
  }
  child_ = -1;
  while (read_some()) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

std::vector<std::string> TerminalProcess::frame() const {
  const std::string home = "\x1b[H";
  const auto next = output_.rfind(home);
  const auto start = output_.rfind(home, next - 1);
  std::vector<std::string> lines;
  std::string text = output_.substr(start, next - start);
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find("\r\n", at), text.size());
    lines.push_back(without_codes(text.substr(at, end - at)));
    // The terminal adds a carriage return of its own.
    while (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 2;
  }
  return lines;
}

PipedResult run_piped(const std::string& command) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    // What this machine's user may see is not the test's.
    if (!std::string_view(*variable).starts_with("CUDA_VISIBLE_DEVICES=")) {
      environment.emplace_back(*variable);
    }
  }
  const ProgramOutput output =
      run_program({"/bin/sh", "-c", command},
                  {.environment = environment, .patience = kLongest, .longest_output = 64U << 20U});
  return {.exit_code = output.exit_code.value_or(-1), .out = output.out, .err = output.err};
}

}  // namespace thermoe
