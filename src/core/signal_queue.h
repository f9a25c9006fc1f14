// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <optional>

namespace thermoe {

/// The signals that would end this program, and the end of a child, as values read from a
/// descriptor: no handler runs and none is lost. Make it before the process starts threads, which
/// inherit the mask. One that whoever started us ignores (nohup) stays ignored. A pipe that nobody
/// reads fails the write instead of ending the program.
class SignalQueue {
 public:
  struct Signal {
    int number = 0;
    bool from_terminal = false;  ///< the terminal's own: every program of the foreground has it
  };

  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next one that came, if any. Does not wait: poll `fd` for that.
  std::optional<Signal> next();
  int fd() const { return fd_; }
  /// The mask before: what a child is to have.
  const sigset_t& mask_before() const { return before_; }

 private:
  int fd_ = -1;
  sigset_t before_{};
};

}  // namespace thermoe
