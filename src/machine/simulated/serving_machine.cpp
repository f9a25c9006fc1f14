// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/serving_machine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/errors.h"
#include "machine/simulated/simulated_source.h"
#include "machine/simulated/tick_sum.h"

namespace thermoe {
namespace {

constexpr Seconds kTolerance{1e-12};

/// Means over steps of one kind.
struct StepMeans {
  double steps = 0.0;
  double sequences = 0.0;
  double rows = 0.0;
  Seconds time{};

  void add(int held, int ran, Seconds took) {
    steps += 1.0, sequences += held, rows += ran, time += took;
  }
};

}  // namespace

struct ServingMachine::Tick {
  Seconds end{};
  Seconds period{};
  const NextStep& next;
  double stretch = 1.0;
  GpuDisturbance disturbance{};
  std::map<int, Lookup> priced{};    // expert layers by rows
  std::map<int, Lookup> unpriced{};  // likewise
  TickSum sum{};
  Basis basis = Basis::kMeasured;
  StepMeans decoding{};
  StepMeans mixed{};
  ServingTick serving{};
};

ServingMachine::ServingMachine(ServingMachineOptions options)
    : options_(std::move(options)),
      gpu_(options_.gpu),
      arrivals_(options_.arrivals),
      batch_(options_.engine.batch_limit, options_.prefill.tokens_per_step),
      coming_(arrivals_.next()),
      step_start_(-std::numeric_limits<double>::infinity()),
      noise_(options_.step_noise, options_.gpu.seed) {
  const auto limit = static_cast<std::size_t>(options_.engine.batch_limit);
  THERMOE_EXPECT(options_.other.empty() || options_.other.size() >= limit,
                 "costs beside the experts of 1 to {} sequences, and the batch limit is {}",
                 options_.other.size(), limit);
  if (!options_.other.empty()) options_.charge.other = {};  // by sequences instead
}

std::unique_ptr<Source> ServingMachine::open_sensors() {
  return open_simulated_sensors(gpu_, options_.disturbances);
}

/// Those that have come by now.
void ServingMachine::take_arrivals(Tick& tick) {
  while (coming_ && coming_->at <= gpu_.now() + kTolerance) {
    batch_.arrive(*coming_, tick.serving);
    coming_ = arrivals_.next();
  }
}

/// Of the expert layers of a step of so many rows.
const Lookup& ServingMachine::experts(int rows, bool unpriced, Tick& tick) const {
  auto& known = unpriced ? tick.unpriced : tick.priced;
  const auto found = known.find(rows);
  if (found != known.end()) return found->second;
  const StepLoads loads = unpriced ? options_.unpriced(rows) : tick.next(rows);
  return known.emplace(rows, step_charge(options_.charge, loads.stats, loads.plan)).first->second;
}

Lookup ServingMachine::charge(const BatchStep& step, Tick& tick) const {
  const int tokens = step.decoding + std::min(step.prompt_tokens, kMostPromptRows);
  const bool unpriced = step.mixed() && options_.unpriced;
  Lookup charge = experts(options_.engine.rows(tokens), unpriced, tick);
  if (!options_.other.empty()) {
    const Lookup& other = options_.other[static_cast<std::size_t>(step.sequences - 1)];
    charge.cost += other.cost;
    charge.basis = weaker(charge.basis, other.basis);
  }
  if (step.mixed()) {
    const PrefillCost& prefill = options_.prefill;
    charge.cost += prefill.per_step + step.prompt_tokens * prefill.per_token;
  }
  return charge;
}

void ServingMachine::begin_step(Tick& tick) {
  step_ = batch_.begin();
  const Lookup cost = charge(step_, tick);
  tick.basis = weaker(tick.basis, cost.basis);
  work_ = {.step_time = tick.stretch * cost.cost.latency, .step_energy = cost.cost.energy};
  step_start_ = gpu_.now();
}

void ServingMachine::run_step(Tick& tick) {
  tick.sum.add(gpu_.advance_step(tick.end - gpu_.now(), work_, tick.disturbance));
  if (gpu_.step_under_way()) return;
  const Seconds now = gpu_.now();
  StepMeans& means = step_.mixed() ? tick.mixed : tick.decoding;
  means.add(step_.sequences, options_.engine.rows(step_.sequences), now - step_start_);
  batch_.end(now, tick.serving);
}

void ServingMachine::idle(Seconds dt, Tick& tick) {
  tick.sum.add(gpu_.advance(dt, {}, tick.disturbance));
}

/// A step, the rest of one, or what there is to wait for.
void ServingMachine::run_some(Tick& tick) {
  take_arrivals(tick);
  if (gpu_.step_under_way()) return run_step(tick);
  const Seconds now = gpu_.now();
  Seconds start = tick.end;
  const bool waits = options_.prefill.paced || !batch_.reads_prompts();
  if (!batch_.empty()) start = waits ? step_start_ + tick.period : now;
  if (start <= now + kTolerance) {
    begin_step(tick);
    return run_step(tick);
  }
  if (coming_) start = std::min(start, coming_->at);
  idle(std::min(start, tick.end) - now, tick);
}

TickReport ServingMachine::run_tick(Seconds until, Seconds period, const NextStep& next) {
  const Seconds begin = clock_.now();
  const Seconds length(std::round(1e9 * (until - begin).value) / 1e9);
  THERMOE_EXPECT(length > Seconds(0), "a tick until {} s at {} s", until.value, begin.value);
  THERMOE_EXPECT(std::isfinite(period.value) && period >= Seconds(0),
                 "step period {} s must be finite and >= 0", period.value);
  Tick tick{.end = gpu_.now() + length,
            .period = period,
            .next = next,
            .stretch = noise_.drawn_stretch(),
            .disturbance = disturbance_at(options_.disturbances, begin)};
  while (tick.end - gpu_.now() > kTolerance) run_some(tick);
  take_arrivals(tick);  // those of its last step: they wait
  clock_.advance_to(until);

  const StepMeans& steps = tick.decoding.steps > 0.0 ? tick.decoding : tick.mixed;
  TickReport report = tick.sum.report();
  report.basis = tick.basis;
  tick.serving.running = batch_.running();
  tick.serving.waiting = batch_.waiting();
  tick.serving.mixed_steps = tick.mixed.steps;
  if (steps.steps > 0.0) {
    tick.serving.batch = steps.sequences / steps.steps;
    tick.serving.rows = steps.rows / steps.steps;
    report.step_time = steps.time / steps.steps;
    report.step_period = std::max(report.step_time, period);
  }
  report.serving = std::move(tick.serving);
  return report;
}

}  // namespace thermoe
