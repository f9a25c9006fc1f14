// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/tenant_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "core/spawn_program.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

using Time = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kRefused = 2;               // exit code for what the user can set right
constexpr milliseconds kGlance{5};        // at a process that is ending
constexpr milliseconds kToEnd{2000};      // by itself, once its input is closed
constexpr milliseconds kToDie{1000};      // once killed: one that a driver holds is left behind
constexpr std::size_t kMostWords = 4096;  // of its errors that are kept
constexpr std::size_t kLongestLine = 1U << 20U;

void close_if_open(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

/// Appends what is there; false at the end of the stream.
bool drain(int fd, std::string& text, std::size_t most) {
  char bytes[4096];
  while (true) {
    const ssize_t count = ::read(fd, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 && errno == EAGAIN;
    if (text.size() < most) text.append(bytes, static_cast<std::size_t>(count));
  }
}

/// The two ends of what joins us to it: a socket, as writing to one that nobody reads can be told
/// to raise no signal.
std::array<int, 2> channel() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw Error(fmt::format("no channel to another tenant: {}", std::strerror(errno)));
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // ours
  return ends;
}

}  // namespace

bool TenantProcess::Child::reap() {
  int now = 0;
  if (!status && pid > 0 && ::waitpid(pid, &now, WNOHANG) == pid) status = now;
  return status.has_value() || pid <= 0;
}

TenantProcess::Child::~Child() {
  close_if_open(input);  // which ends it
  const auto ends_within = [&](milliseconds patience) {
    for (const auto end = Time::now() + patience; Time::now() < end;) {
      if (reap()) return true;
      std::this_thread::sleep_for(kGlance);
    }
    return reap();
  };
  if (!ends_within(kToEnd)) {
    ::kill(pid, SIGKILL);
    ends_within(kToDie);
  }
  close_if_open(output);
  close_if_open(errors);
}

TenantProcess::TenantProcess(const TenantProcessOptions& options) {
  start(options);
  const std::string line = first_line(options.patience);
  ready_ = tenant_ready_from(line);
  if (!ready_.added) {
    throw FormatError("the tenant's first line", "/added_w", "is missing: what does its work add?");
  }
}

TenantProcess::~TenantProcess() = default;

void TenantProcess::start(const TenantProcessOptions& options) {
  SpawnRequest request{.words = {options.program, "load", "--power-fraction",
                                 fmt::format("{}", options.power_fraction), "--gpu",
                                 fmt::format("{}", options.gpu), "--commands"},
                       .own_group = true};
  if (!options.nvml_library.empty()) {
    request.words.insert(request.words.end(), {"--nvml-library", options.nvml_library});
  }
  sigemptyset(&request.blocked);
  const std::array<int*, 3> ours{&child_.input, &child_.output, &child_.errors};
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const std::array<int, 2> ends = channel();
    *ours[i] = ends[0];
    request.descriptors[i] = ends[1];
  }
  const int error = spawn_program(request, child_.pid);
  for (int& fd : request.descriptors) close_if_open(fd);
  if (error == 0) return;
  child_.pid = -1;
  throw Error(fmt::format("another tenant cannot be started: {}: {}",
                          printable(options.program, true), why_not_run(options.program, error)));
}

/// Waits for it.
std::string TenantProcess::first_line(Seconds patience) {
  const auto end = Time::now() + std::chrono::duration<double>(patience.value);
  std::string text;
  while (text.find('\n') == std::string::npos && text.size() < kLongestLine) {
    const auto left = std::chrono::ceil<milliseconds>(end - Time::now());
    if (left.count() <= 0) {
      throw Error(fmt::format("another tenant was not ready within {:g} s", patience.value));
    }
    // Closed outputs alone do not end it; a child that holds them open may outlive it.
    std::array<pollfd, 2> streams{pollfd{.fd = child_.output, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = child_.errors, .events = POLLIN, .revents = 0}};
    ::poll(streams.data(), streams.size(), static_cast<int>(std::min(left, 20 * kGlance).count()));
    const bool ended = child_.reap();  // asked first: what it said before is then all there
    if (!drain(child_.errors, said_, kMostWords)) close_if_open(child_.errors);
    if (!drain(child_.output, text, kLongestLine)) close_if_open(child_.output);
    if (ended && text.find('\n') == std::string::npos) fail("ended before it was ready");
  }
  return text.substr(0, text.find('\n'));
}

void TenantProcess::set_working(bool working) {
  const std::string line = fmt::format("{}\n", working ? kCommandOn : kCommandOff);
  const auto sent = ::send(child_.input, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(line.size()) && !child_.reap()) return;
  if (child_.errors >= 0) drain(child_.errors, said_, kMostWords);
  fail(fmt::format("cannot be told to {}", working ? "work" : "rest"));
}

/// With its own words, where it left some.
void TenantProcess::fail(const std::string& what) {
  constexpr std::string_view kOurs = "thermoe: ";
  std::string words = said_.substr(0, said_.find_last_not_of(" \n") + 1);
  words = printable(words.substr(words.find_last_of('\n') + 1), true);  // the last line
  if (words.starts_with(kOurs)) words.erase(0, kOurs.size());
  const bool exited = child_.status && WIFEXITED(*child_.status);
  if (exited && WEXITSTATUS(*child_.status) == kRefused && !words.empty()) {
    throw UsageError(fmt::format("another tenant: {}", words));
  }
  std::string how;
  if (exited) how = fmt::format(" (exit code {})", WEXITSTATUS(*child_.status));
  if (child_.status && WIFSIGNALED(*child_.status)) {
    how = fmt::format(" (signal {})", WTERMSIG(*child_.status));
  }
  throw Error(fmt::format("another tenant {}{}{}{}", what, how, words.empty() ? "" : ": ", words));
}

}  // namespace thermoe
