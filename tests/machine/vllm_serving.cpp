// SPDX-License-Identifier: Apache-2.0
#include "vllm_serving.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json_file.h"
#include "cost/whole_step.h"
#include "machine/simulated/serving_machine.h"

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};
constexpr Seconds kSettle{30.0};
constexpr Seconds kWindow{17.0};  // 16 to 18 s in the record
constexpr int kStreams = 16;      // of the steering runs
constexpr int kTokensIn = 32, kTokensOut = 256, kBatchLimit = 64;
const char* const kModel = "Qwen3-30B-A3B";

/// vLLM's capture sizes for 64 sequences, and every number for comparison.
std::vector<int> graph_sizes(bool padding) {
  std::vector<int> sizes;
  for (int size = 1; size <= 2 * kBatchLimit; ++size) {
    if (!padding || size <= 2 || size == 4 || size % 8 == 0) sizes.push_back(size);
  }
  return sizes;
}

std::vector<VllmRow> read_rows(const std::string& path) {
  const nlohmann::json json = read_json_file(path);
  std::vector<VllmRow> rows;
  for (const auto& r : json.at("rows")) {
    const auto number = [&](const char* key) { return r.at(key).get<double>(); };
    rows.push_back({.allowed = r.at("N").get<int>(),
                    .period = Seconds(1e-3 * number("period_ms")),
                    .tokens_per_s = number("tok_s"),
                    .power = Watts(number("W")),
                    .batch = number("batch"),
                    .gap_p50 = Seconds(1e-3 * number("itl_ms_p50")),
                    .gap_p99 = Seconds(1e-3 * number("itl_ms_p99")),
                    .temperature = Celsius(number("c"))});
  }
  return rows;
}

/// Active experts that the steering runs counted, by how many might be chosen.
std::vector<VllmServing::Active> read_active(const nlohmann::json& steering) {
  std::vector<VllmServing::Active> active;
  const auto add = [&](int allowed, const nlohmann::json& run) {
    active.push_back({.allowed = allowed, .measured = run.at("seen").at("D").get<double>()});
  };
  for (const auto& [name, run] : steering.at("allowed_experts").items()) add(std::stoi(name), run);
  for (const auto& run : steering.at("live_changes_under_captured_graphs")) {
    add(run.at("N").get<int>(), run);
  }
  return active;
}

/// Sum of squared relative errors.
double misfit(SyntheticRouter& router, const std::vector<VllmServing::Active>& active) {
  double sum = 0.0;
  for (const auto& a : active) {
    sum += std::pow(router.mean_active(kStreams, a.allowed) / a.measured - 1.0, 2);
  }
  return sum;
}

double fitted_skew(const std::vector<VllmServing::Active>& active) {
  double best = 0.0, least = 1e9;
  for (int i = 0; i <= 20; ++i) {
    SyntheticRouter router(0.02 * i);  // the same draws for each
    const double error = misfit(router, active);
    if (error < least) least = error, best = 0.02 * i;
  }
  return best;
}

double deviation(const std::vector<double>& values) {
  double sum = 0.0, squares = 0.0;
  for (const double v : values) sum += v, squares += v * v;
  const auto n = static_cast<double>(values.size());
  return n > 1.0 ? std::sqrt(std::max(0.0, squares / n - sum * sum / (n * n))) : 0.0;
}

Seconds at_rank(std::vector<double>& values, double rank) {
  if (values.empty()) return {};
  const auto nth =
      values.begin() + static_cast<std::ptrdiff_t>(rank * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return Seconds(*nth);
}

/// What ticks add up to.
struct Sums {
  Seconds time{};
  Joules energy{};
  double tokens = 0.0;
  double steps = 0.0;

  void add(const TickReport& tick) {
    time += tick.length, energy += *tick.truth.energy;
    tokens += tick.serving->tokens, steps += tick.steps;
  }
};

SimulatedRow measured(ServingMachine& machine, Seconds period, const NextStep& next,
                      Seconds length) {
  Sums all, window;
  std::vector<double> gaps, watts, periods;
  const auto ticks = static_cast<int>(std::lround((kSettle + length) / kTick));
  for (int i = 1; i <= ticks; ++i) {
    const TickReport tick = machine.run_tick(i * kTick, period, next);
    if (i * kTick <= kSettle) continue;
    all.add(tick), window.add(tick);
    for (const TokenGap& g : tick.serving->between_tokens) gaps.push_back(g.gap.value);
    if (window.time < kWindow) continue;
    watts.push_back((window.energy / window.time).value);
    periods.push_back(window.time.value / window.steps);
    window = {};
  }
  return {.tokens_per_s = all.tokens / all.time.value,
          .power = all.energy / all.time,
          .window_spread = Watts(deviation(watts)),
          .batch = all.tokens / all.steps,
          .step_period = all.time / all.steps,
          .period_spread = Seconds(deviation(periods)),
          .gap_p50 = at_rank(gaps, 0.5),
          .gap_p99 = at_rank(gaps, 0.99)};
}

}  // namespace

VllmServing::VllmServing(const std::string& data)
    : costs_(KernelCostModel::load(data + "vllm_cost_model.json")),
      rows_(read_rows(data + "vllm_arrivals.json")) {
  const nlohmann::json steering = read_json_file(data + "vllm_steering.json");
  active_ = read_active(steering);
  skew_ = fitted_skew(active_);
  SyntheticRouter router(skew_);
  for (Active& a : active_) a.synthetic = router.mean_active(kStreams, a.allowed);
  const Watts stock(steering.at("stock").at("W").get<double>());
  idle_w_per_c_ =
      costs_.perturbation().thermal->energy_per_c * (stock - costs_.active_idle()).value;
}

Watts VllmServing::idle_at(Celsius temperature) const {
  const Celsius reference = costs_.perturbation().thermal->reference;
  return costs_.active_idle() + Watts(idle_w_per_c_ * (temperature - reference).value);
}

SimulatedRow VllmServing::simulate(const VllmRow& row, Seconds length,
                                   const VllmPhysics& physics) const {
  const ExpertShape& shape = *costs_.find_shape(kModel);
  // The record's temperature is given: another card's air and cooler are not this comparison's.
  const ThermalParameters given{.ambient = row.temperature,
                                .poles = {{KelvinPerWatt(0.0), Seconds(1.0)}}};
  ServingMachineOptions options{
      .gpu = {.idle_active =
                  physics.idle_by_temperature ? idle_at(row.temperature) : costs_.active_idle(),
              .thermal = given,
              .memory_thermal = given},
      .charge = {.costs = costs_,
                 .shape = shape,
                 .dtypes = {"bf16"},
                 .layer_repeat = static_cast<double>(shape.layers) / SyntheticRouter::kLayers},
      .engine = {.batch_limit = kBatchLimit, .graph_sizes = graph_sizes(physics.padding)},
      .prefill = {.paced = true},  // the record's engine paced every step
      .arrivals = {.rate_per_s = row.tokens_per_s / kTokensOut,
                   .tokens_in = {.mean = kTokensIn},
                   .tokens_out = {.mean = kTokensOut}}};
  for (int sequences = 1; sequences <= kBatchLimit; ++sequences) {
    const int batch = physics.between == VllmPhysics::Between::kByRows
                          ? options.engine.rows(sequences)
                      : physics.between == VllmPhysics::Between::kBySequences ? sequences
                                                                              : kStreams;
    options.other.push_back(
        whole_step(costs_, {.shape = shape, .batch = static_cast<double>(batch)}).lookup());
  }
  SyntheticRouter router(skew_);
  const RoutingPlan plan(SyntheticRouter::kLayers, SyntheticRouter::kExperts,
                         SyntheticRouter::kTopK);
  const LogitSample sample{};
  ServingMachine machine(options);
  return measured(
      machine, row.period,
      [&](std::optional<int> rows) {
        return StepLoads{
            .plan = plan, .stats = router.next(rows.value(), row.allowed), .sample = sample};
      },
      length);
}

ErrorSummary summary(std::vector<double> errors) {
  for (double& e : errors) e = std::abs(e);
  std::ranges::sort(errors);
  const std::size_t n = errors.size();
  return {.median = 0.5 * (errors[(n - 1) / 2] + errors[n / 2]), .worst = errors.back()};
}

}  // namespace thermoe
