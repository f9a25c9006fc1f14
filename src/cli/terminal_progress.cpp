// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "core/say.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr int kBar = 30;
constexpr std::chrono::milliseconds kRedraw{100};

}  // namespace

TerminalProgress::TerminalProgress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

TerminalProgress::~TerminalProgress() {
  if (drawn_) say("\n");
}

void TerminalProgress::update(std::string_view phase, Seconds done, Seconds total,
                              std::string_view status) {
  const bool fresh = phase != phase_;
  if (fresh) {
    if (drawn_) say("\n");
    drawn_ = false;
    phase_ = printable(phase, true);
    quarters_ = 0;
    if (!terminal_) say(phase_ + "\n");
  }
  const bool last = done >= total;
  if (terminal_) {
    const auto now = std::chrono::steady_clock::now();
    if (!fresh && !last && now - last_ < kRedraw) return;
    last_ = now;
    draw(done, total, status);
    return;
  }
  const int quarter = static_cast<int>(4.0 * (done / total) + 1e-9);
  if (quarter > quarters_) {
    quarters_ = quarter;
    say(fmt::format("  {:3d} %  {}\n", 25 * quarter, printable(status, true)));
  }
}

void TerminalProgress::draw(Seconds done, Seconds total, std::string_view status) {
  const double share = std::clamp(done / total, 0.0, 1.0);
  const auto full = static_cast<std::size_t>(share * kBar);
  say(fmt::format("\r{:<18} [{}{}] {:3.0f} %  {:<24}", phase_, std::string(full, '#'),
                  std::string(kBar - full, '-'), 100 * share, printable(status, true)));
  drawn_ = true;
}

void TerminalProgress::note(std::string_view line) {
  if (drawn_) say("\n");
  drawn_ = false;
  say(printable(line, true) + "\n");
}

}  // namespace thermoe
