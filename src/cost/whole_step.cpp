// SPDX-License-Identifier: Apache-2.0
#include "cost/whole_step.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

bool same_experts(const ExpertShape& a, const ExpertShape& b) {
  return a.experts == b.experts && a.top_k == b.top_k && a.d_model == b.d_model &&
         a.d_ff == b.d_ff && a.gated == b.gated;
}

std::string names(const std::vector<const OtherCosts*>& others) {
  std::vector<std::string> list;
  list.reserve(others.size());
  for (const OtherCosts* other : others) list.push_back(other->name());
  return list.empty() ? "none" : fmt::format("{}", fmt::join(list, "; "));
}

/// Those of a model of this shape.
std::vector<const OtherCosts*> others_of(const KernelCostModel& costs, const ExpertShape& shape) {
  std::vector<const OtherCosts*> known;
  for (const OtherCosts& other : costs.others()) {
    if (same_experts(*costs.find_shape(other.model()), shape)) known.push_back(&other);
  }
  return known;
}

}  // namespace

Cost WholeStep::cost() const {
  if (!other) return {};
  return {other->latency, other->energy.value_or(Joules{}), other->heat.value_or(Celsius{})};
}

Lookup WholeStep::lookup() const {
  Lookup lookup{.cost = cost()};
  if (other) lookup.basis = other->basis;
  return lookup;
}

WholeStep whole_step(const KernelCostModel& costs, const WholeStepQuestion& q) {
  const std::vector<const OtherCosts*> known = others_of(costs, q.shape);
  std::vector<const OtherCosts*> asked;
  for (const OtherCosts* other : known) {
    if (!q.engine || other->engine() == *q.engine) asked.push_back(other);
  }
  if (asked.empty() && q.engine) {
    throw UsageError(fmt::format(
        "{} {}: {}: /other: has no such engine for these experts; it has: {}. Choose one of "
        "them, or fit it (thermoe cost fit-step)",
        q.engine_key, *q.engine, costs.header().path, names(known)));
  }
  if (asked.empty()) {
    return {.experts_only_since = "the cost model has no `other` for them: thermoe cost fit-step"};
  }
  if (asked.size() > 1) {
    return {.experts_only_since = fmt::format("choose with {}: {}", q.engine_key, names(asked))};
  }
  const OtherCosts& other = *asked.front();
  const int layers = costs.find_shape(other.model())->layers;
  if (layers != q.shape.layers) {
    return {.experts_only_since =
                fmt::format("the layers charged are {}, and {} has {}: {} {}", q.shape.layers,
                            other.model(), layers, q.layers_key, layers)};
  }
  const std::optional<double> least = other.least_context();
  const std::optional<double> context = least ? q.context.value_or(*least) : least;
  OpCost cost = other.at(q.batch, context);
  if (cost.energy && costs.has_thermal()) cost.heat = costs.thermal().heat(*cost.energy);
  return {.other = cost, .name = other.name(), .context = context};
}

WholeStep load_proxy_step(const KernelCostModel& costs, const ExpertShape& shape, double batch) {
  const auto of_proxy = [](const OtherCosts* other) { return other->engine() == kLoadProxyEngine; };
  if (std::ranges::none_of(others_of(costs, shape), of_proxy)) return {};
  return whole_step(costs, {.shape = shape, .batch = batch, .engine = kLoadProxyEngine});
}

bool knows_others(const KernelCostModel& costs, const ExpertShape& shape) {
  return !others_of(costs, shape).empty();
}

StepCost with_other(StepCost experts, const WholeStep& step, int layers) {
  if (step.other) experts.layer_constant += (1.0 / layers) * step.cost();
  return experts;
}

BatchCosts batch_costs(const KernelCostModel& costs, const ServingEngine& engine,
                       const std::vector<std::string>& dtypes, WholeStepQuestion question,
                       double layer_repeat) {
  std::vector<BatchCosts::Point> points;
  for (const int rows : rows_to_cost(engine)) {
    question.batch = rows;
    const StepCost experts = costs.step_cost(question.shape, dtypes, rows, layer_repeat);
    points.push_back(
        {rows, with_other(experts, whole_step(costs, question), question.shape.layers)});
  }
  return BatchCosts(std::move(points));
}

std::string coverage(const WholeStep& step) {
  if (!step.other) return "expert layers only";
  const OpCost& other = *step.other;
  return fmt::format(
      "expert layers and {:.2f} ms, {} beside them ({}{}, {})", 1e3 * other.latency.value,
      other.energy ? fmt::format("{:.0f} mJ", 1e3 * other.energy->value) : "no known joules",
      step.name, step.context ? fmt::format(", context {:g}", *step.context) : "",
      to_string(other.basis));
}

}  // namespace thermoe
