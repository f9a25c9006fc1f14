// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace thermoe {

using Environment = std::map<std::string, std::string>;

/// Whether this system gives out pseudo-terminals; some containers do not.
bool pseudo_terminals_exist();

/// A program on a terminal of its own, which the test holds the other end of.
class TerminalProcess {
 public:
  TerminalProcess(const std::vector<std::string>& words, int columns, int rows,
                  const Environment& environment = {});
  ~TerminalProcess();  // ends the program if it still runs
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  /// Reads until `text` stands in what came since the last call of this or `forget`; false if it
  /// does not come in half a minute.
  bool shows(const std::string& text);
  /// What `shows` looks at begins anew.
  void forget() { seen_ = output_.size(); }
  void type(const std::string& keys) const;
  void resize(int columns, int rows) const;
  void signal(int number) const;
  /// Whether the terminal echoes and edits lines, as a shell leaves it.
  bool is_as_before() const;
  /// Reads to the end; the exit code, or minus the signal that ended it.
  int wait();

  /// Everything so far.
  const std::string& output() const { return output_; }
  /// The lines of the last whole frame, without escape codes.
  std::vector<std::string> frame() const;

 private:
  bool read_some();  // false at the end

  int terminal_ = -1;
  int keeper_ = -1;  // the program's end of the terminal, so that its settings outlive the program
  pid_t child_ = -1;
  std::string output_{};
  std::size_t seen_ = 0;
};

/// What a program without a terminal wrote.
struct PipedResult {
  int exit_code = -1;
  std::string out{};
  std::string err{};
};
/// Runs the program through the shell, so that arguments are quoted by the caller; one that has not
/// ended after half a minute is killed, with an exit code of -1.
PipedResult run_piped(const std::string& command);

}  // namespace thermoe
