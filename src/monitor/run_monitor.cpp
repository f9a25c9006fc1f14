// SPDX-License-Identifier: Apache-2.0
#include "monitor/run_monitor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/errors.h"
#include "core/process_exit.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "monitor/monitor_session.h"
#include "monitor/published_snapshots.h"
#include "monitor/recorder.h"
#include "monitor/render.h"
#include "monitor/terminal_events.h"
#include "monitor/terminal_screen.h"

namespace thermoe {
namespace {

constexpr Seconds kRecordPeriod{0.1};
constexpr Seconds kViewPeriod{0.5};
constexpr Seconds kLinePeriod{1.0};
constexpr Seconds kOnceLongest{5.0};
constexpr Seconds kShortestWait{0.01};
constexpr int kSignalled = 128;  // as a shell reports a process ended by a signal
constexpr int kNoAnswer = 1;
constexpr int kFailed = 1;
constexpr int kBadInput = 2;

using Kind = TerminalEvent::Kind;
using Output = MonitorRequest::Output;

Seconds period_of(const MonitorRequest& request, const OutputPlace& place) {
  if (request.period) return *request.period;
  if (request.output != Output::kView || request.once) return kRecordPeriod;
  return place.terminal ? kViewPeriod : kLinePeriod;
}

Terminal terminal_of(const OutputPlace& place) {
  Terminal terminal = terminal_size(STDOUT_FILENO);
  terminal.colour = place.colour;
  terminal.unicode = place.unicode;
  return terminal;
}

/// When to stop by itself; a file's replay ends a recording of it, but a view stays on its end.
std::optional<Seconds> end_of(const MonitorRequest& request, const MonitorSession& session,
                              Seconds started, bool view) {
  std::optional<Seconds> end;
  if (request.duration) end = started + *request.duration;
  if (!view && session.ends_at())
    end = std::min(end.value_or(*session.ends_at()), *session.ends_at());
  return end;
}

/// The screen of the view and how far its keys have asked to scroll since the last frame.
struct LiveScreen {
  TerminalScreen screen;
  Scroll asked{};
};

/// Stops the process, with its terminal given back meanwhile.
void stop(TerminalEvents& events, LiveScreen* live) {
  if (live != nullptr) live->screen.leave();
  events.stop_process();
  if (live != nullptr) live->screen.enter();
}

/// Waits until `next`, or until `end` if that comes first, or something ends the program: then
/// gives the exit code. A change of the screen ends the wait early.
std::optional<int> wait_until(Seconds next, std::optional<Seconds> end, TerminalEvents& events,
                              LiveScreen* live, const Clock& clock) {
  while (clock.now() < next) {
    if (end && clock.now() >= *end) return 0;
    const TerminalEvent event = events.wait(std::min(next, end.value_or(next)) - clock.now());
    switch (event.kind) {
      case Kind::kEnd:
        return kSignalled + event.signal;
      case Kind::kQuit:
        return 0;
      case Kind::kStop:
        stop(events, live);
        return std::nullopt;
      case Kind::kRedraw:
        if (live == nullptr) break;
        // Whoever continued the process may have used the terminal meanwhile.
        if (event.signal == SIGCONT) live->screen.enter();
        return std::nullopt;
      case Kind::kScroll:
        if (live == nullptr) break;
        live->asked.lines += event.scroll.lines;
        live->asked.pages += event.scroll.pages;
        return std::nullopt;
      case Kind::kNothing:
        break;
    }
  }
  return std::nullopt;
}

/// Calls `frame` once a period until it returns false or something ends the program; returns the
/// exit code.
template <class Frame>
int every_period(TerminalEvents& events, LiveScreen* live, const Clock& clock, Seconds period,
                 std::optional<Seconds> end, Frame&& frame) {
  Seconds next = clock.now();
  while (frame()) {
    // A frame that took longer than a period skips the ones it missed.
    next = next + period > clock.now() ? next + period : clock.now() + period;
    if (const auto code = wait_until(next, end, events, live, clock)) return *code;
    next = std::min(next, clock.now());
  }
  return 0;
}

int show_view(const MonitorRequest& request, const OutputPlace& place, TerminalEvents& events,
              MonitorSession& session, MetricsBoard* board, const Clock& clock) {
  LiveScreen live{.screen = TerminalScreen(place.keyboard ? STDIN_FILENO : -1, STDOUT_FILENO)};
  int scroll = 0;
  const auto end = end_of(request, session, clock.now(), true);
  const Seconds period = period_of(request, place);
  PublishedSnapshots published(board, period);
  return every_period(events, &live, clock, period, end, [&] {
    published.publish(session.update());
    MonitorView view = session.view();
    view.time = time_of_day_text(clock.wall_time());
    view.keys = place.keyboard;
    const Terminal terminal = terminal_of(place);
    // Kept within the page, so that no key is pressed in vain on the way back.
    const ScrollRange range = scroll_range(view, terminal);
    const Scroll asked = std::exchange(live.asked, {});
    view.scroll = scroll =
        std::clamp(scroll + asked.lines + asked.pages * range.page, 0, range.most);
    live.screen.draw(render(view, terminal), terminal);
    return true;
  });
}

int record(const MonitorRequest& request, const OutputPlace& place, TerminalEvents& events,
           MonitorSession& session, MetricsBoard* board, const Clock& clock) {
  Terminal plain = terminal_of(place);
  plain.columns = 400;  // a line goes into a file or a pipe, whole
  Recorder recorder(request, session, plain);
  const auto end = end_of(request, session, clock.now(), false);
  const Seconds period = period_of(request, place);
  PublishedSnapshots published(board, period);
  const int code = every_period(events, nullptr, clock, period, end, [&] {
    const std::vector<LabelledSnapshot> fresh = session.update();
    published.publish(fresh);
    recorder.write(fresh);
    const auto run = session.view().run;
    return !(run && !request.source && run->state == RunView::State::kFinished);
  });
  // What came since the last look belongs to a recording; lines for people have said enough.
  if (request.output != Output::kView) recorder.write(session.update());
  return code;
}

/// One reading of every source that gives one, or what kept all of them from it. Ends with the
/// first reading, once the other sources have answered, too, or failed a few times.
int once(const MonitorRequest& request, const OutputPlace& place, TerminalEvents& events,
         MonitorSession& session, const Clock& clock) {
  const Seconds began = clock.now();
  const Seconds end = began + request.duration.value_or(kOnceLongest);
  std::vector<LabelledSnapshot> taken;
  while (true) {
    for (LabelledSnapshot& fresh : session.update()) {
      // The newest of each source.
      std::erase_if(taken, [&](const auto& old) { return old.source == fresh.source; });
      taken.push_back(std::move(fresh));
    }
    if ((session.answered() && session.settled()) || clock.now() >= end) break;
    const TerminalEvent event = events.wait(std::min(end - clock.now(), kShortestWait));
    if (event.kind == Kind::kEnd) return kSignalled + event.signal;
  }
  std::ranges::stable_sort(taken, {}, [](const auto& t) { return t.snapshot.at; });
  const MonitorView view = session.view();
  Terminal terminal = terminal_of(place);
  terminal.rows = 0;
  if (request.output != Output::kView) {
    Recorder(request, session, terminal).write(taken);
  } else {
    std::string text;
    for (const std::string& line : render(view, terminal)) text += line + "\n";
    write_output(STDOUT_FILENO, text);
  }
  if (session.answered()) return 0;
  say(fmt::format("thermoe: nothing answered in {:.1f} s\n", (clock.now() - began).value));
  return kNoAnswer;
}

}  // namespace

int run_monitor(const MonitorRequest& request, const OutputPlace& place, MetricsBoard* board) {
  const bool view = request.output == Output::kView && place.terminal && !request.once;
  // Before the session starts its threads, which inherit the signal mask.
  TerminalEvents events(view && place.keyboard ? STDIN_FILENO : -1);
  const SteadyClock clock;
  MonitorSession session(request, clock, period_of(request, place));
  try {
    const int code = request.once ? once(request, place, events, session, clock)
                     : view       ? show_view(request, place, events, session, board, clock)
                                  : record(request, place, events, session, board, clock);
    // A thread inside the driver cannot be ended, and must not meet the driver library's own
    // destructors: leave without them.
    if (session.hangs()) exit_leaving_threads(code);
    return code;
  } catch (const std::exception& error) {  // to end as main would, if main must not be reached
    if (!session.hangs()) throw;
    say(fmt::format("thermoe: {}\n", printable(error.what(), place.unicode)));
    exit_leaving_threads(dynamic_cast<const UsageError*>(&error) != nullptr ? kBadInput : kFailed);
  }
}

}  // namespace thermoe
