// SPDX-License-Identifier: Apache-2.0
#include "metrics/control_metrics.h"

#include <fmt/format.h>

namespace thermoe {
namespace {

std::optional<double> plain(std::optional<bool> yes) {
  return yes ? std::optional(*yes ? 1.0 : 0.0) : std::nullopt;
}
template <class Tag>
std::optional<double> plain(const std::optional<Quantity<Tag>>& quantity) {
  return quantity ? std::optional(quantity->value) : std::nullopt;
}

std::vector<MetricLabel> with(std::vector<MetricLabel> labels, std::string name,
                              std::string value) {
  labels.emplace_back(std::move(name), std::move(value));
  return labels;
}

void add_state(MetricsPage& page, const ControlValues& values,
               const std::vector<MetricLabel>& labels) {
  const Targets& targets = values.targets;
  page.add(Exported::kTarget, with(labels, "kind", "power"), plain(targets.power));
  page.add(Exported::kTarget, with(labels, "kind", "temperature"), plain(targets.temperature));
  page.add(Exported::kTarget, with(labels, "kind", "step_time"), plain(targets.step_time));
  page.add(Exported::kTarget, with(labels, "kind", "between_tokens"),
           plain(targets.between_tokens));
  page.add(Exported::kTarget, with(labels, "kind", "to_first_token"),
           plain(targets.to_first_token));
  page.add(Exported::kTargetViolated, labels, plain(values.violated));
  page.add(Exported::kActivationPrice, labels, values.activation_price);
  page.add(Exported::kPlanAtFloor, labels, plain(values.at_floor));
  page.add(Exported::kFallbackActive, labels, plain(values.fallback));
  for (std::size_t layer = 0; layer < values.active_experts.size(); ++layer) {
    page.add(Exported::kActiveExperts, with(labels, "layer", fmt::to_string(layer)),
             values.active_experts[layer]);
  }
  page.add(Exported::kKeptMass, labels, values.kept_mass);
  page.add(Exported::kStepTime, labels, plain(values.step_time));
  page.add(Exported::kStepPeriod, labels, plain(values.step_period));
  page.add(Exported::kRunTime, labels, plain(values.run_time));
  if (!values.serving) return;
  page.add(Exported::kRequestsRunning, labels, values.serving->running);
  page.add(Exported::kRequestsWaiting, labels, values.serving->waiting);
  page.add(Exported::kBatchSequences, labels, values.serving->batch);
}

}  // namespace

void add_control(MetricsPage& page, const ControlValues& values, Seconds since) {
  std::vector<MetricLabel> labels = values.labels;
  if (values.simulated) labels.emplace_back("simulated", "1");
  page.add(Exported::kViolationSeconds, labels, plain(values.violation));
  page.add(Exported::kSteps, labels, values.steps);
  page.add(Exported::kTokens, labels, values.tokens);
  if (values.serving) {
    page.add(Exported::kRequestsFinished, labels, values.serving->finished);
    page.add(Exported::kTimeToFirstToken, labels, values.serving->to_first_token);
    page.add(Exported::kInterTokenLatency, labels, values.serving->between_tokens);
  }
  if (since > values.keep) return;
  if (!values.strategy.empty()) labels.emplace_back("strategy", values.strategy);
  add_state(page, values, labels);
}

}  // namespace thermoe
