// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <optional>

#include "core/units.h"
#include "monitor/keys.h"

namespace thermoe {

/// What happened while the program waited.
struct TerminalEvent {
  enum class Kind {
    kNothing,  ///< the time is up
    kEnd,      ///< SIGINT, SIGTERM, SIGHUP or SIGQUIT: `signal` says which
    kQuit,     ///< the key q, or the keyboard is gone
    kScroll,   ///< `scroll` says how far
    kStop,     ///< Ctrl-Z
    kRedraw,   ///< the size changed, or the process goes on after a stop
  };
  Kind kind = Kind::kNothing;
  int signal = 0;
  Scroll scroll{};
};

/// Signals and keys as values: the signals are blocked and read from a descriptor, so that no
/// handler runs and none is lost. Make it before the process starts threads, which inherit the
/// mask.
class TerminalEvents {
 public:
  /// `keyboard` is a terminal's descriptor without line editing, or -1.
  explicit TerminalEvents(int keyboard);
  ~TerminalEvents();
  TerminalEvents(const TerminalEvents&) = delete;
  TerminalEvents& operator=(const TerminalEvents&) = delete;

  /// Waits for the next event, at most `longest`.
  TerminalEvent wait(Seconds longest);

  /// Stops the process as Ctrl-Z does where nobody catches it; returns when it goes on.
  void stop_process();

 private:
  TerminalEvent read_signal() const;
  TerminalEvent read_key();

  int keyboard_;
  int signals_ = -1;
  sigset_t before_{};
};

}  // namespace thermoe
