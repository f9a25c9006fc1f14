// SPDX-License-Identifier: Apache-2.0
#include "monitor/terminal_events.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "core/errors.h"

namespace thermoe {
namespace {

sigset_t only(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

TerminalEvents::TerminalEvents(int keyboard) : keyboard_(keyboard) {
  const sigset_t set = only({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH});
  pthread_sigmask(SIG_BLOCK, &set, &before_);
  signals_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals_ < 0) {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    throw Error(fmt::format("signals cannot be watched: {}", std::strerror(errno)));
  }
}

TerminalEvents::~TerminalEvents() {
  ::close(signals_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

TerminalEvent TerminalEvents::wait(Seconds longest) {
  pollfd watched[2] = {{.fd = signals_, .events = POLLIN, .revents = 0},
                       {.fd = keyboard_, .events = POLLIN, .revents = 0}};
  const double milliseconds = std::clamp(std::ceil(1e3 * longest.value), 0.0, 1e6);
  const int ready = ::poll(watched, 2, static_cast<int>(milliseconds));
  if (ready <= 0) return {};
  if ((watched[0].revents & POLLIN) != 0) return read_signal();
  if (watched[1].revents != 0) return read_key();
  return {};
}

TerminalEvent TerminalEvents::read_signal() const {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return {};
  const int signal = static_cast<int>(info.ssi_signo);
  switch (signal) {
    case SIGTSTP:
      return {.kind = TerminalEvent::Kind::kStop, .signal = signal};
    case SIGCONT:
    case SIGWINCH:
      return {.kind = TerminalEvent::Kind::kRedraw, .signal = signal};
    default:
      return {.kind = TerminalEvent::Kind::kEnd, .signal = signal};
  }
}

TerminalEvent TerminalEvents::read_key() {
  char keys[64];
  const ssize_t count = ::read(keyboard_, keys, sizeof keys);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (count <= 0) return {.kind = TerminalEvent::Kind::kQuit};
  const KeyPresses pressed = keys_of({keys, static_cast<std::size_t>(count)});
  if (pressed.quit) return {.kind = TerminalEvent::Kind::kQuit};
  const bool scrolls = pressed.scroll.lines != 0 || pressed.scroll.pages != 0;
  return {.kind = scrolls ? TerminalEvent::Kind::kScroll : TerminalEvent::Kind::kNothing,
          .scroll = pressed.scroll};
}

void TerminalEvents::stop_process() {
  const sigset_t stop = only({SIGTSTP});
  ::raise(SIGTSTP);                              // pending: it is blocked
  pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // the process stops here
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

}  // namespace thermoe
