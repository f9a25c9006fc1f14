// SPDX-License-Identifier: Apache-2.0
#include "run/trace_decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

TraceDecoder::TraceDecoder(const RouterLogits& trace, ExpertType experts)
    : trace_(trace),
      baseline_(trace.samples.front().layers, trace.spec.experts, trace.spec.k),
      router_(trace.spec, trace.samples.front().tokens),
      stats_{.layers = baseline_.layers(),
             .experts = baseline_.experts(),
             .tokens = trace.samples.front().tokens} {
  for (const LogitSample& sample : trace.samples) {
    THERMOE_EXPECT(sample.layers == stats_.layers && sample.experts == stats_.experts &&
                       sample.tokens == stats_.tokens,
                   "a sample of {} layers x {} tokens x {} experts among {} x {} x {}",
                   sample.layers, sample.tokens, sample.experts, stats_.layers, stats_.tokens,
                   stats_.experts);
  }
  if (experts == ExpertType::kMixed) mixed_variants(baseline_);
  stats_.counts.resize(static_cast<std::size_t>(stats_.layers) * stats_.experts);
}

RoutedStep TraceDecoder::next(const RoutingPlan& plan, std::optional<int> sequences) {
  if (sequences && *sequences != stats_.tokens) {
    throw UsageError(fmt::format("a step of {} sequences: the trace's samples have {} tokens",
                                 *sequences, stats_.tokens));
  }
  const LogitSample& sample = trace_.samples[steps_ % trace_.samples.size()];
  KeptMass kept;
  auto counts = stats_.counts.begin();
  for (int l = 0; l < stats_.layers; ++l) {
    const LayerRouting routing = router_.route(sample.layer(l), stats_.tokens, plan, l, steps_);
    counts = std::copy(routing.counts.begin(), routing.counts.end(), counts);
    for (const float mass : routing.kept_mass) kept.add(mass);
  }
  stats_.kept_mass = kept.mean();
  stats_.quality_loss = kept.quality_loss();
  stats_.step = steps_++;
  return {.stats = stats_, .sample = sample};
}

}  // namespace thermoe
