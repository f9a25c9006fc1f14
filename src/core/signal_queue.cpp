// SPDX-License-Identifier: Apache-2.0
#include "core/signal_queue.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/errors.h"

namespace thermoe {

SignalQueue::SignalQueue() {
  // A parent that ignores it would make waitpid lose the command's exit code.
  std::signal(SIGCHLD, SIG_DFL);
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGCHLD, SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    sigaddset(&watched, number);
  }
  fd_ = ::signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) throw Error(fmt::format("signals cannot be watched: {}", std::strerror(errno)));
  ::pthread_sigmask(SIG_BLOCK, &watched, &before_);
}

SignalQueue::~SignalQueue() {
  // Those that came and were not taken would otherwise end the program now.
  while (next()) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  ::close(fd_);
}

std::optional<SignalQueue::Signal> SignalQueue::next() {
  signalfd_siginfo info{};
  do {
    if (::read(fd_, &info, sizeof info) != sizeof info) return std::nullopt;
  } while (info.ssi_signo == SIGPIPE);  // the write that failed says it, too
  return Signal{.number = static_cast<int>(info.ssi_signo),
                .from_terminal = info.ssi_code == SI_KERNEL};
}

}  // namespace thermoe
