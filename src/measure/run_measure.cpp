// SPDX-License-Identifier: Apache-2.0
#include "measure/run_measure.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/say.h"
#include "measure/live_measurer.h"
#include "measure/measure_json.h"
#include "measure/measure_words.h"
#include "measure/virtual_readings.h"

namespace thermoe {
namespace {

constexpr int kFailed = 1;
constexpr int kSignalled = 128;

bool on_its_own_time(const MeasureRequest& request) {
  return request.command.empty() && (request.sensors.source == SourceKind::kReplay ||
                                     request.sensors.source == SourceKind::kSimulated);
}

/// A run to warm up that went wrong is no measurement.
RunMeasurement failed_warmup(const RunMeasurement& run) {
  if (run.failed_to_start) return run;
  const std::string how = run.interrupted
                              ? fmt::format("was interrupted by signal {}", *run.interrupted)
                              : fmt::format("ended with exit code {}", *run.exit_code);
  return {.absent_because = fmt::format("the warm-up {}; nothing was measured", how),
          .duration = run.duration,
          .exit_code = run.exit_code,
          .interrupted = run.interrupted};
}

/// Runs to warm up and runs that count, up to the first that goes wrong, whose exit code is ours.
void repeat(const MeasureRequest& request, const std::function<RunMeasurement()>& run,
            MeasureOutcome& outcome) {
  for (int r = -request.warmup; r < request.repeat; ++r) {
    RunMeasurement made = run();
    const bool well = made.went_well();
    if (!well)
      outcome.exit_code = made.exit_code.value_or(kSignalled + made.interrupted.value_or(0));
    if (r >= 0) {
      outcome.runs.push_back(std::move(made));
    } else if (!well) {
      outcome.runs.push_back(failed_warmup(made));
    }
    if (!well) return;
  }
}

MeasureOutcome measure_on_own_time(const MeasureRequest& request) {
  VirtualReadings readings(request.sensors);
  WindowMeter meter;
  Seconds at{};
  const auto watch = [&](Seconds skip, Seconds length) {
    const Seconds opens = at + skip;
    const Seconds closes = opens + length;
    readings.pass(opens, meter);
    meter.open(opens);
    if (!(length > Seconds(0)) || !readings.pass(closes, meter)) {
      throw UsageError(
          fmt::format("measure: {} ends after {:.1f} s, before the window from {:.1f} s{}",
                      readings.label(), readings.length()->value, opens.value,
                      request.seconds ? fmt::format(" to {:.1f} s", closes.value) : ""));
    }
    RunMeasurement run{.window = meter.close(closes), .duration = closes - at};
    at = closes;
    return run;
  };
  MeasureOutcome outcome{.source = readings.label()};
  if (request.idle) outcome.idle = watch(Seconds(0), *request.idle).window;
  const auto one = [&] {
    RunMeasurement run = watch(
        request.skip, request.seconds ? *request.seconds : *readings.length() - at - request.skip);
    if (request.units.count) run.units = UnitMeter(request.units).end();
    return run;
  };
  repeat(request, one, outcome);
  if (const auto wrong = readings.chosen().fault()) throw UsageError(*wrong);
  if (const std::string note = readings.chosen().note(); !note.empty()) {
    outcome.problems.push_back(note);
  }
  if (!meter.sees_power()) {
    throw TelemetryError(
        fmt::format("measure: {} tells neither energy nor power", readings.label()));
  }
  return outcome;
}

MeasureOutcome measure_live(const MeasureRequest& request, LiveMeasurer& measurer) {
  MeasureOutcome outcome;
  if (request.idle) {
    RunMeasurement idle = measurer.watch(Seconds(0), *request.idle, false);
    outcome.idle = std::move(idle.window);
    if (idle.interrupted) {
      outcome.exit_code = kSignalled + *idle.interrupted;
      return outcome;
    }
  }
  const auto one = [&] {
    return request.command.empty()
               ? measurer.watch(request.skip, *request.seconds, request.units.any())
               : measurer.run_command();
  };
  repeat(request, one, outcome);
  outcome.source = measurer.sensors().label();
  outcome.problems = measurer.sensors().problems();
  return outcome;
}

/// Whoever reads it may be gone, or its disk full: false then.
bool write_out(std::FILE* to, const std::string& words) {
  auto* const before = std::signal(SIGPIPE, SIG_IGN);
  const bool said = std::fputs(words.c_str(), to) >= 0 && std::fflush(to) == 0;
  static_cast<void>(std::signal(SIGPIPE, before));
  return said;
}

void tell(const MeasureRequest& request, const MeasureOutcome& outcome) {
  for (const RunMeasurement& run : outcome.runs) {
    if (!run.failed_to_start) continue;
    write_out(stderr, fmt::format("thermoe: measure: {}\n", run.absent_because));
    return;
  }
  if (!request.out.empty()) write_file_atomically(request.out, measure_json(request, outcome));
  if (request.json && !write_out(stdout, measure_json(request, outcome))) {
    throw WriteError("standard output: the JSON cannot be written");
  }
  // The command's own output, of which ours shall not stand in the way, is on standard output.
  // Nobody need read it: the command's exit code is worth more.
  if (!request.quiet && !request.json) write_out(stderr, measure_words(request, outcome));
}

/// A thread inside the driver cannot be ended, and must not meet the driver library's own
/// destructors: leave without them.
void leave_if_hung(const LiveMeasurer& measurer, int code, const std::string& word = "") {
  if (!measurer.sensors().hangs()) return;
  if (!word.empty()) say(fmt::format("thermoe: {}\n", word));
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int run_measure(const MeasureRequest& request) {
  if (on_its_own_time(request)) {
    const MeasureOutcome outcome = measure_on_own_time(request);
    tell(request, outcome);
    return outcome.exit_code;
  }
  SignalQueue signals;
  LiveMeasurer measurer(request, signals);
  if (const auto wrong = measurer.sensors().wrong_gpu()) throw UsageError(*wrong);
  if (const auto fault = measurer.fault()) {
    leave_if_hung(measurer, kFailed, *fault);
    throw TelemetryError(*fault);
  }
  const MeasureOutcome outcome = measure_live(request, measurer);
  tell(request, outcome);
  leave_if_hung(measurer, outcome.exit_code);
  return outcome.exit_code;
}

}  // namespace thermoe
