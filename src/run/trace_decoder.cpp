// SPDX-License-Identifier: Apache-2.0
#include "run/trace_decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

std::size_t size_of(int layers, int tokens, int experts) {
  return static_cast<std::size_t>(layers) * static_cast<std::size_t>(tokens) *
         static_cast<std::size_t>(experts);
}

}  // namespace

TraceDecoder::TraceDecoder(const RouterLogits& trace, ExpertType experts,
                           std::optional<int> most_sequences)
    : trace_(trace),
      tokens_(trace.samples.front().tokens),
      most_(std::max(most_sequences.value_or(tokens_), tokens_)),
      stride_(static_cast<int>(trace.samples.size()) / ((most_ + tokens_ - 1) / tokens_)),
      baseline_(trace.samples.front().layers, trace.spec.experts, trace.spec.k),
      router_(trace.spec, most_),
      stats_{.layers = baseline_.layers(), .experts = baseline_.experts(), .tokens = tokens_},
      gathered_{.layers = stats_.layers, .experts = stats_.experts} {
  for (const LogitSample& sample : trace.samples) {
    THERMOE_EXPECT(sample.layers == stats_.layers && sample.experts == stats_.experts &&
                       sample.tokens == tokens_,
                   "a sample of {} layers x {} tokens x {} experts among {} x {} x {}",
                   sample.layers, sample.tokens, sample.experts, stats_.layers, tokens_,
                   stats_.experts);
  }
  THERMOE_EXPECT(stride_ >= 1, "steps of {} sequences from a trace of {} samples of {} tokens",
                 most_, trace.samples.size(), tokens_);
  if (experts == ExpertType::kMixed) mixed_variants(baseline_);
  stats_.counts.resize(static_cast<std::size_t>(stats_.layers) * stats_.experts);
  gathered_.logits.reserve(size_of(stats_.layers, most_, stats_.experts));
}

const LogitSample& TraceDecoder::sample_of(int sequences) {
  const std::vector<LogitSample>& samples = trace_.samples;
  const std::uint64_t first = steps_ % samples.size();
  if (sequences == tokens_) return samples[first];
  gathered_.tokens = sequences;
  gathered_.logits.clear();
  for (int l = 0; l < stats_.layers; ++l) {
    for (int begin = 0; begin < sequences; begin += tokens_) {
      const auto block = static_cast<std::uint64_t>(begin / tokens_);
      const std::uint64_t at =
          (first + block * static_cast<std::uint64_t>(stride_)) % samples.size();
      const auto rows = samples[at].layer(l).first(
          size_of(1, std::min(tokens_, sequences - begin), stats_.experts));
      gathered_.logits.insert(gathered_.logits.end(), rows.begin(), rows.end());
    }
  }
  return gathered_;
}

RoutedStep TraceDecoder::next(const RoutingPlan& plan, std::optional<int> sequences) {
  stats_.tokens = sequences.value_or(tokens_);
  if (stats_.tokens < 1 || stats_.tokens > most_) {
    throw UsageError(fmt::format("a step of {} sequences: this trace is decoded for 1 to {}",
                                 stats_.tokens, most_));
  }
  const LogitSample& sample = sample_of(stats_.tokens);
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

std::unique_ptr<TraceDecoder> trace_decoder(const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  return std::make_unique<TraceDecoder>(*inputs.trace, e.expert_type, e.most_rows());
}

int most_sequences(const RouterLogits& trace) {
  return static_cast<int>(trace.samples.size()) * trace.samples.front().tokens;
}

}  // namespace thermoe
