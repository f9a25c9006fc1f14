// SPDX-License-Identifier: Apache-2.0
#include "cli/whole_step.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

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

}  // namespace

WholeStep whole_step(const KernelCostModel& costs, const WholeStepQuestion& q) {
  std::vector<const OtherCosts*> known, asked;
  for (const OtherCosts& other : costs.others()) {
    if (!same_experts(*costs.find_shape(other.model()), q.shape)) continue;
    known.push_back(&other);
    if (!q.engine || other.engine() == *q.engine) asked.push_back(&other);
  }
  if (asked.empty() && q.engine) {
    throw UsageError(fmt::format(
        "--engine {}: {}: /other: has no such engine for these experts; it has: {}. Choose one of "
        "them, or fit it (thermoe cost fit-step)",
        *q.engine, costs.header().path, names(known)));
  }
  if (asked.empty()) {
    return {.experts_only_since = "the cost model has no `other` for them: thermoe cost fit-step"};
  }
  if (asked.size() > 1) {
    return {.experts_only_since = fmt::format("choose with --engine: {}", names(asked))};
  }
  const OtherCosts& other = *asked.front();
  const int layers = costs.find_shape(other.model())->layers;
  if (layers != q.shape.layers) {
    return {.experts_only_since =
                fmt::format("the layers priced are {}, and {} has {}: --layers {}", q.shape.layers,
                            other.model(), layers, layers)};
  }
  const std::optional<double> least = other.least_context();
  const std::optional<double> context = least ? q.context.value_or(*least) : least;
  return {.other = other.at(q.batch, context), .name = other.name(), .context = context};
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
