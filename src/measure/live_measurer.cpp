// SPDX-License-Identifier: Apache-2.0
#include "measure/live_measurer.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "core/command_process.h"
#include "core/errors.h"
#include "core/say.h"

namespace thermoe {
namespace {

constexpr Seconds kFirstAnswer{15.0};  // drivers without persistence wake their GPUs first
constexpr Seconds kEdgePatience{1.0};
constexpr Seconds kLook{1.0};  // between two collections of what was read in the background

std::string skipped_all(std::string_view what, Seconds after, Seconds skip) {
  return fmt::format("{} ended after {:.1f} s, before the {:.1f} s of --skip were over", what,
                     after.value, skip.value);
}

}  // namespace

LiveMeasurer::LiveMeasurer(const MeasureRequest& request, SignalQueue& signals)
    : request_(request),
      signals_(signals),
      units_(request.units),
      sensors_(request.sensors, clock_) {
  const Seconds end = clock_.now() + kFirstAnswer;
  while (!sensors_.read_now(meter_, kEdgePatience) && clock_.now() < end && !interrupted_) {
    take_signals();
  }
}

std::optional<std::string> LiveMeasurer::fault() const {
  if (meter_.sees_power() || interrupted_) return std::nullopt;
  const auto problems = sensors_.problems();
  return fmt::format(
      "measure: no sensor tells energy or power here, so nothing is run. {}{}`thermoe doctor` says "
      "what is missing and how to get it; --source simulated measures an invented load",
      fmt::join(problems, ". "), problems.empty() ? "" : ". ");
}

void LiveMeasurer::take_signals() {
  while (const auto signal = signals_.next()) {
    if (signal->number != SIGCHLD) interrupted_ = signal->number;
  }
}

/// Before any work a page that cannot be read ends it all; later it comes out as the run's own.
void LiveMeasurer::begin_units() {
  const bool first = !std::exchange(has_begun_, true);
  const std::string fault = units_.begin();
  if (fault.empty() || !first) return;
  throw TelemetryError(
      fmt::format("measure: the units cannot be counted, so nothing is run: {}. Is the server up? "
                  "One that the command starts itself needs --skip",
                  fault));
}

RunMeasurement LiveMeasurer::run_command() {
  RunMeasurement run;
  bool open = request_.skip <= Seconds(0);
  if (open) begin_units();
  // Fresh readings first: the window then begins with the command, a moment after them.
  sensors_.read_now(meter_, kEdgePatience);
  take_signals();
  if (interrupted_) {
    return {.absent_because = "interrupted before the command began", .interrupted = interrupted_};
  }
  const Seconds began = clock_.now();
  const Seconds opens = began + request_.skip;
  OutputNumber* number = units_.output();
  OutputListener listener;
  if (number != nullptr) {
    listener = [number](std::size_t output, std::string_view bytes) { number->add(output, bytes); };
  }
  CommandProcess process(request_.command, signals_, listener);
  if (!process.fault().empty()) {
    run.failed_to_start = true;
    run.absent_because = process.fault();
    run.exit_code = process.exit_code();
    return run;
  }
  if (open) meter_.open(began);
  while (!process.wait((open ? kLook : std::min(kLook, opens - clock_.now())))) {
    if (!open && clock_.now() >= opens) {
      sensors_.read_now(meter_, kEdgePatience);
      meter_.open(clock_.now());
      units_.begin();  // a fault comes out with the run
      open = true;
    }
    sensors_.drain(meter_);
  }
  const Seconds end = clock_.now();
  if (number != nullptr) number->finish();
  sensors_.read_now(meter_, kEdgePatience);
  run.duration = end - began;
  run.exit_code = process.exit_code();
  run.interrupted = process.interrupted();
  if (!open) {
    run.absent_because = skipped_all("the command", run.duration, request_.skip);
    return run;
  }
  run.window = meter_.close(end);
  run.units = units_.end();
  return run;
}

RunMeasurement LiveMeasurer::watch(Seconds skip, Seconds length, bool count_units) {
  RunMeasurement run;
  const Seconds began = clock_.now();
  wait_until(began + skip);
  run.interrupted = interrupted_;
  if (run.interrupted) {
    run.duration = clock_.now() - began;
    run.absent_because = skipped_all("the measurement", run.duration, skip);
    return run;
  }
  sensors_.read_now(meter_, kEdgePatience);
  const Seconds opened = clock_.now();
  meter_.open(opened);
  if (count_units) begin_units();
  wait_until(opened + length);
  run.interrupted = interrupted_;
  const Seconds end = clock_.now();
  sensors_.read_now(meter_, kEdgePatience);
  run.duration = end - began;
  run.window = meter_.close(end);
  if (count_units) run.units = units_.end();
  return run;
}

/// Or until a signal asks to end.
void LiveMeasurer::wait_until(Seconds until) {
  const Seconds began = clock_.now();
  while (!interrupted_ && clock_.now() < until) {
    const Seconds left = std::min(until - clock_.now(), kLook);
    pollfd watched{.fd = signals_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&watched, 1, std::max(1, static_cast<int>(std::ceil(1e3 * left.value))));
    take_signals();
    sensors_.drain(meter_);
    if (request_.progress) show_time(clock_.now() - began, until - began);
  }
  if (request_.progress && until > began) say("\r\x1b[K");
}

void LiveMeasurer::show_time(Seconds passed, Seconds of) const {
  say(fmt::format("\r\x1b[K{:.0f} of {:.0f} s", std::min(passed, of).value, of.value));
  std::fflush(stderr);
}

}  // namespace thermoe
