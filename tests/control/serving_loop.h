// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <vector>

#include "control/controller_config.h"
#include "synthetic_router.h"

namespace thermoe::testing {

/// An engine under arrivals made of literals: requests of 256 tokens flow in, their batch relaxes
/// to rate x time between tokens within some seconds, and steps cost what a stock vLLM's on an H100
/// were measured to: 4.98 ms + 0.1444 ms and 0.66 J + 0.0637 J a distinct expert, above 130 W.
struct ServingPlant {
  std::function<double(double time)> rate = [](double) { return 825.0; };  ///< tokens/s that arrive
  double energy_scale = 1.0;
  double tenant_power = 60.0, tenant_bandwidth = 0.15;
  double tenant_from = 1e9, tenant_to = 1e9;
  double mixed_extra = 8e-3;  ///< seconds by which a step that reads a prompt is longer
  double mixed_energy = 4.0;  ///< joules more
  double noise = 0.03;        ///< of the power sensor, standard deviation
  double start_batch = 8.0;
  bool random = false;  ///< requests come one by one, by Poisson's law
};

inline constexpr double kAnswer = 256.0;  ///< tokens of a request

/// One tick of such an engine, in truth.
struct ServedTick {
  double time = 0.0, power = 0.0, batch = 0.0, waiting = 0.0, served = 0.0;
  double gap = 0.0;     ///< mean time between tokens
  double period = 0.0;  ///< as decided
  double active = 0.0, kept_mass = 1.0;
  ControllerState state{};
};

/// What a test may do to the metrics before the controller sees them.
using ServingSabotage = std::function<void(double time, StepMetrics& metrics)>;

/// Costs of a step with D distinct experts a layer, the same at all rows.
inline StepCost vllm_like(int layers) {
  const double charged = 48.0;
  return {.layer_repeat = charged / layers,
          .layer_constant = {Seconds(4.98e-3 / charged), Joules(0.66 / charged), Celsius()},
          .variants = {CostCurve(
              {{1.0, {Seconds(0.1444e-3 / charged), Joules(0.0637 / charged), Celsius()}},
               {64.0, {Seconds(0.1444e-3 / charged), Joules(0.0637 / charged), Celsius()}}})},
          .active_idle = Watts(130.0)};
}

inline ControllerConfig serving_config(Strategy strategy, const Targets& targets, int layers = 2) {
  ControllerConfig config{.strategy = strategy,
                          .mode = TthaMode::kDualOnly,
                          .targets = targets,
                          .layers = layers,
                          .router = {.experts = 128, .k = 8},
                          .engine = ServingEngine{64, {1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64}},
                          .thermal = {Celsius(42.0), KelvinPerWatt(0.047), Seconds(8.0)},
                          .costs = vllm_like(layers)};
  std::vector<BatchCosts::Point> points;
  for (const int rows : rows_to_cost(*config.engine)) points.push_back({rows, vllm_like(layers)});
  config.batch_costs = BatchCosts(std::move(points));
  return config;
}

class ServingLoop {
 public:
  ServingLoop(Controller& controller, const ControllerConfig& config, const ServingPlant& plant,
              std::uint32_t seed)
      : controller_(controller),
        config_(config),
        plant_(plant),
        source_(config.layers, 16, config.router.experts, seed),
        router_(config.router),
        random_(seed + 1),
        batch_(plant.start_batch) {
    decision_.plan = RoutingPlan(config.layers, config.router.experts, config.router.k);
  }

  std::vector<ServedTick> run(double seconds, const ServingSabotage& sabotage = {}) {
    std::vector<ServedTick> log;
    for (int i = 0; i < static_cast<int>(std::lround(seconds / kTick)); ++i)
      log.push_back(tick((i + 1) * kTick, sabotage));
    return log;
  }

 private:
  static constexpr double kTick = 0.1;

  ServedTick tick(double now, const ServingSabotage& sabotage) {
    const bool tenant = now > plant_.tenant_from && now <= plant_.tenant_to;
    const double rate = plant_.rate(now);
    const int sequences = static_cast<int>(std::lround(batch_));
    const bool runs = sequences > 0;
    if (runs || sample_.tokens == 0) {
      sample_ = source_.next(config_.engine->rows(std::max(1, sequences)));
      stats_ = router_.route(sample_, decision_.plan);
    }
    const Cost cost = config_.costs.step(stats_);
    const double step = cost.latency.value / (tenant ? 1.0 - plant_.tenant_bandwidth : 1.0);
    const double period = std::max(decision_.step_period.value, step);
    const double arrive = arriving(rate / kAnswer * kTick);
    requests_ += arrive;
    const double mixed = std::min(std::floor(requests_), 2.0);
    requests_ -= std::floor(requests_);
    const double mixed_time = step + plant_.mixed_extra;
    const double steps = runs ? mixed + (kTick - mixed * mixed_time) / period : 0.0;
    const double gap = runs ? kTick / steps : 0.0;
    const double served = runs ? batch_ * steps : 0.0;

    const double energy =
        plant_.energy_scale * (cost.energy.value * steps + mixed * plant_.mixed_energy);
    const double power = 130.0 + energy / kTick + (tenant ? plant_.tenant_power : 0.0);
    const double batch = batch_;
    flow(arrive, steps, rate);

    StepMetrics metrics{.at = Seconds(now),
                        .tick = Seconds(kTick),
                        .step_time = Seconds(runs ? step : 0.0),
                        .step_period = Seconds(gap),
                        .steps = steps,
                        .tokens = served};
    arrived_ += arrive;
    metrics.serving = ServingTick{.batch = runs ? batch : 0.0,
                                  .rows = runs ? 1.0 * sample_.tokens : 0.0,
                                  .running = static_cast<int>(std::lround(batch_)),
                                  .waiting = static_cast<int>(waiting_),
                                  .arrived = whole(arrived_),
                                  .finished = whole(finished_),
                                  .tokens = served,
                                  .mixed_steps = mixed};
    if (runs) metrics.serving->between_tokens = {{Seconds(gap), served}};
    if (mixed > 0.0) {
      const double queue = rate > 0.0 ? waiting_ / (rate / kAnswer) : 0.0;
      metrics.serving->to_first_token = {Seconds(0.5 * period + mixed_time + queue)};
    }
    if (sabotage) sabotage(now, metrics);
    decide(now, power, metrics);
    return {now,
            power,
            batch,
            waiting_,
            served,
            gap,
            decision_.step_period.value,
            runs ? stats_.mean_active() : 0.0,
            stats_.kept_mass,
            controller_.state()};
  }

  double arriving(double mean) {
    if (!plant_.random) return mean;
    return std::poisson_distribution<int>(mean)(random_);
  }

  /// Requests join up to the batch limit, and those that have their tokens leave.
  void flow(double arrive, double steps, double rate) {
    const double limit = config_.engine->batch_limit;
    waiting_ += arrive;
    if (plant_.random) {
      for (double& left : left_) left -= steps;
      finished_ += static_cast<double>(std::erase_if(left_, [](double x) { return x <= 0.0; }));
      for (; waiting_ >= 1.0 && left_.size() < limit; waiting_ -= 1.0) left_.push_back(kAnswer);
      batch_ = static_cast<double>(left_.size());
      return;
    }
    const double leaving = batch_ * steps / kAnswer;
    const double joining = std::min(waiting_, limit - batch_ + leaving);
    waiting_ -= joining;
    batch_ += joining - leaving;
    finished_ += leaving;
    if (rate <= 0.0 && batch_ < 0.5) batch_ = 0.0;
  }

  void decide(double now, double power, const StepMetrics& metrics) {
    std::normal_distribution<double> normal;
    Snapshot snapshot{.at = Seconds(now), .simulated = true};
    snapshot.gpus.resize(1);
    if (shown_) {
      const Watts seen(*shown_ * (1.0 + plant_.noise * normal(random_)));
      if (sensor_.value != seen) sensor_.value = seen, sensor_.changed_at = Seconds(now);
      sensor_.read_at = Seconds(now);
      snapshot.gpus[0].power_instant = sensor_;
    }
    shown_ = power;
    snapshot.gpus[0].temperature = {Celsius(60.0), Seconds(now), Seconds(now)};
    decision_ = controller_.decide({.now = Seconds(now),
                                    .snapshot = snapshot,
                                    .stats = stats_,
                                    .sample = sample_,
                                    .metrics = metrics,
                                    .costs = config_.costs,
                                    .batch_costs = &*config_.batch_costs});
  }

  static int whole(double& sum) {
    const double part = std::floor(sum);
    sum -= part;
    return static_cast<int>(part);
  }

  Controller& controller_;
  const ControllerConfig& config_;
  ServingPlant plant_;
  LogitSource source_;
  ReferenceRouter router_;
  std::mt19937 random_;
  Decision decision_{};
  LogitSample sample_{};
  RoutingStats stats_{};
  std::vector<double> left_{};  ///< of a random plant: tokens that each request is still to get
  double batch_, waiting_ = 0.0, requests_ = 0.0, arrived_ = 0.0, finished_ = 0.0;
  std::optional<double> shown_{};
  Reading<Watts> sensor_{};
};

}  // namespace thermoe::testing
