// SPDX-License-Identifier: Apache-2.0
#include "run/tick_metrics.h"

#include <utility>

namespace thermoe {

TickMetrics::TickMetrics(MetricsBoard& board, std::string experiment)
    : board_(board), experiment_(std::move(experiment)) {}

void TickMetrics::add(const MetricsRow& row) {
  publish_hardware(row);
  steps_ += row.step.steps;
  tokens_ += row.step.tokens;
  if (row.violation) violation_ += row.step.tick;
  if (row.step.serving) count(*row.step.serving);
  std::optional<Seconds> taken;  // absent where no step ended
  if (row.step.step_time > Seconds(0)) taken = row.step.step_time;
  std::vector<int> active;
  active.reserve(static_cast<std::size_t>(row.stats.layers));
  for (int layer = 0; layer < row.stats.layers; ++layer) active.push_back(row.stats.active(layer));
  board_.publish(ControlValues{.labels = {{"experiment", experiment_}},
                               .strategy = std::string(row.strategy),
                               .simulated = row.simulated,
                               .targets = row.targets,
                               .activation_price = row.control.lambda,
                               .active_experts = std::move(active),
                               .kept_mass = row.stats.kept_mass,
                               .fallback = !row.control.fallback.empty(),
                               .at_floor = row.control.saturated,
                               .violated = row.violation,
                               .step_time = taken,
                               .step_period = row.step.step_period,
                               .run_time = row.at,
                               .steps = steps_,
                               .tokens = tokens_,
                               .violation = violation_,
                               .serving = serving_});
}

void TickMetrics::count(const ServingTick& tick) {
  if (!serving_) serving_.emplace();
  serving_->running = tick.running;
  serving_->waiting = tick.waiting;
  serving_->batch = tick.batch;
  serving_->finished += tick.finished;
  for (const Seconds wait : tick.to_first_token) serving_->to_first_token.add(wait.value);
  for (const TokenGap& gap : tick.between_tokens) {
    serving_->between_tokens.add(gap.gap.value, gap.tokens);
  }
}

void TickMetrics::publish_hardware(const MetricsRow& row) {
  GpuReading gpu = gpu_;
  if (row.sensed != nullptr) {
    gpu = *row.sensed;
    gpu_ = {.name = gpu.name, .uuid = gpu.uuid, .index = gpu.index};
  }
  if (row.truth.energy) energy_ = energy_.value_or(Joules(0)) + *row.truth.energy;
  gpu.energy = {.value = energy_, .read_at = row.at};
  board_.publish(HardwareValues{
      .source = "run", .snapshot = {.at = row.at, .simulated = row.simulated, .gpus = {gpu}}});
}

}  // namespace thermoe
