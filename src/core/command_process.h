// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/signal_queue.h"
#include "core/units.h"

namespace thermoe {

/// Hears what a command writes: `output` 0 is its standard output, 1 its standard error.
using OutputListener = std::function<void(std::size_t output, std::string_view bytes)>;

/// A command with this program's own standard input and outputs. Only where somebody listens to
/// what it prints do its outputs go through pipes, from which they are passed on as they are.
///
/// Ctrl-C reaches the command by itself, as it shares our terminal; signals sent to this program
/// alone are handed on to it. Either way it is waited for.
class CommandProcess {
 public:
  /// Starts `words`, found on the PATH. `listener` may be empty. `standard_output` is a descriptor
  /// that it writes to instead of this program's; -1: this program's. Then only its errors are
  /// heard.
  CommandProcess(const std::vector<std::string>& words, SignalQueue& signals,
                 OutputListener listener, int standard_output = -1);
  ~CommandProcess();  // kills the command if it still runs: an error is on its way out
  CommandProcess(const CommandProcess&) = delete;
  CommandProcess& operator=(const CommandProcess&) = delete;

  /// Until the command ends, at most `longest`; true once it has ended.
  bool wait(Seconds longest);
  /// Why it could not be started, with exit code 127 where there is no such command and 126 where
  /// it is no program; empty if it was.
  const std::string& fault() const { return fault_; }
  /// Asks it to end (SIGTERM); `wait` then says when it has.
  void ask_to_end();
  /// As a shell gives it: 128 + n after signal n. Once it has ended.
  int exit_code() const { return *exit_code_; }
  /// A signal that asks to end came while it ran.
  std::optional<int> interrupted() const { return interrupted_; }

 private:
  /// One of its outputs, on its way to ours.
  struct Passage {
    int from = -1;
    int to = -1;
  };

  void start(const std::vector<std::string>& words, int standard_output);
  void take_signals();
  void reap();
  bool pass_on(std::size_t output);
  void finish_passages();

  SignalQueue& signals_;
  OutputListener listener_;
  pid_t pid_ = -1;
  std::string fault_{};
  std::optional<int> exit_code_{};
  std::optional<int> interrupted_{};
  std::array<Passage, 2> passages_{};
};

}  // namespace thermoe
