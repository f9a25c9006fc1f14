// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "run/progress.h"

namespace thermoe {

/// Progress on stderr: a bar that redraws itself on a terminal, a line each quarter elsewhere.
class TerminalProgress final : public Progress {
 public:
  TerminalProgress();
  ~TerminalProgress() override;

  void update(std::string_view phase, Seconds done, Seconds total,
              std::string_view status) override;
  void note(std::string_view line) override;

 private:
  void draw(Seconds done, Seconds total, std::string_view status);

  bool terminal_;
  std::string phase_{};
  int quarters_ = 0;
  bool drawn_ = false;  // a bar stands on the current line
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace thermoe
