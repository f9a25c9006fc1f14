// SPDX-License-Identifier: Apache-2.0
#include "monitor/recorder.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <utility>

#include "core/say.h"
#include "core/terminal_text.h"
#include "monitor/json_line.h"
#include "monitor/render.h"
#include "monitor/terminal_screen.h"
#include "telemetry/trace_writer.h"

namespace thermoe {
namespace {

using SystemClock = std::chrono::system_clock;

/// What is amiss with a source; empty if nothing is.
std::string trouble(const FeedView& feed) {
  if (feed.silent_for) return fmt::format("{} does not answer", feed.label);
  if (feed.ended) return fmt::format("{}: the recording has ended", feed.label);
  if (feed.error) return fmt::format("{}: {}", feed.label, *feed.error);
  if (!feed.problems.empty()) {
    return fmt::format("{}: {}", feed.label, fmt::join(feed.problems, "; "));
  }
  return "";
}

}  // namespace

std::string utc_text(WallTime time) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z", fmt::gmtime(SystemClock::to_time_t(time)),
                     milliseconds % 1000);
}

std::string time_of_day_text(WallTime time) {
  return fmt::format("{:%H:%M:%S}", fmt::localtime(SystemClock::to_time_t(time)));
}

Recorder::Recorder(const MonitorRequest& request, const MonitorSession& session,
                   const Terminal& terminal)
    : output_(request.output), session_(session), terminal_(terminal) {}

void Recorder::write(const std::vector<LabelledSnapshot>& fresh) {
  tell_troubles(session_.view());
  write_output(STDOUT_FILENO, text_of(fresh));
}

std::string Recorder::text_of(const std::vector<LabelledSnapshot>& fresh) {
  if (output_ == MonitorRequest::Output::kView) return plain_lines(session_.view());
  std::string text;
  if (output_ == MonitorRequest::Output::kCsv && !std::exchange(header_written_, true)) {
    text += trace_header();
  }
  for (const auto& [source, snapshot] : fresh) {
    const std::string utc = utc_text(snapshot.wall_time);
    text += output_ == MonitorRequest::Output::kCsv ? trace_rows(snapshot, utc)
                                                    : json_line(snapshot, source, utc);
  }
  const auto view = session_.view();
  if (output_ == MonitorRequest::Output::kJson && view.run) {
    // A run's row is told once.
    const std::string words = json_run_line(*view.run, Seconds(0), "");
    if (std::exchange(run_told_, words) != words) {
      text += json_run_line(*view.run, session_.now(), utc_text(session_.wall_time()));
    }
  }
  return text;
}

std::string Recorder::plain_lines(const MonitorView& view) {
  std::string text;
  const std::string now = time_of_day_text(session_.wall_time());
  const std::string mark = view.simulated ? "simulated  " : "";
  if (view.run) {
    const std::string words = printable(run_words(*view.run), terminal_.unicode);
    if (std::exchange(run_told_, words) == words) return "";
    text += fmt::format("{}  {}\n", now, words);
  }
  for (const std::string& line : render_lines(view, terminal_)) {
    text += fmt::format("{}  {}{}\n", now, mark, line);
  }
  return text;
}

std::string Recorder::run_words(const RunView& run) {
  if (run.state == RunView::State::kWaiting) return "waiting for " + run.waiting_for;
  std::string words = fmt::format("{}  {:.1f} s", run.strategy, run.at.value);
  if (run.duration) words += fmt::format(" of {:.0f} s", run.duration->value);
  if (run.lambda) words += fmt::format("  lambda {:.4f}", *run.lambda);
  if (run.active_experts) words += fmt::format("  active experts {:.1f}", *run.active_experts);
  if (run.power_target) words += fmt::format("  cap {:.0f} W", run.power_target->value);
  if (run.power_predicted) words += fmt::format("  predicted {:.1f} W", run.power_predicted->value);
  if (run.power_sensor) words += fmt::format("  sensor {:.1f} W", run.power_sensor->value);
  if (!run.fallback.empty()) words += "  fell back to " + run.fallback;
  if (run.state == RunView::State::kFinished) words += "  finished";
  if (run.simulated) words += "  (simulated)";
  return words;
}

void Recorder::tell_troubles(const MonitorView& view) {
  if (std::exchange(selection_told_, view.selection) != view.selection) {
    say(fmt::format("thermoe: {}\n", printable(view.selection, terminal_.unicode)));
  }
  told_.resize(view.feeds.size());
  for (std::size_t f = 0; f < view.feeds.size(); ++f) {
    const FeedView& feed = view.feeds[f];
    const std::string now = trouble(feed);
    if (std::exchange(told_[f], now) == now) continue;
    const std::string words = now.empty() ? fmt::format("{} answers again", feed.label) : now;
    if (output_ == MonitorRequest::Output::kJson && !now.empty()) {
      write_output(STDOUT_FILENO, json_error_line(session_.now(), feed.label,
                                                  utc_text(session_.wall_time()), words));
    }
    say(fmt::format("thermoe: {:.1f} s: {}\n", session_.now().value,
                    printable(words, terminal_.unicode)));
  }
}

}  // namespace thermoe
