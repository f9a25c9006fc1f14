// SPDX-License-Identifier: Apache-2.0
#include "run/trace_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <span>

#include "control/utilities.h"
#include "core/errors.h"

namespace thermoe {
namespace {

/// Uniform in [0, n). Not std::uniform_int_distribution, whose results differ between libraries.
std::size_t pick(std::mt19937_64& random, std::size_t n) { return random() % n; }

template <class T>
void shuffle(std::vector<T>& values, std::mt19937_64& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[pick(random, i)]);
}

/// The experts that every token of a trace takes in each layer.
class Picks {
 public:
  explicit Picks(const RouterLogits& trace)
      : layers_(static_cast<std::size_t>(trace.samples.front().layers)),
        experts_(static_cast<std::size_t>(trace.samples.front().experts)),
        k_(static_cast<std::size_t>(trace.spec.k)),
        shares_(k_) {
    for (const LogitSample& sample : trace.samples) add(sample, trace.spec);
    const double rows = static_cast<double>(tokens_) * static_cast<double>(layers_);
    for (double& share : shares_) share /= rows;
  }

  std::size_t layers() const { return layers_; }
  std::size_t experts() const { return experts_; }
  std::size_t k() const { return k_; }
  std::size_t tokens() const { return tokens_; }
  const std::vector<double>& shares() const { return shares_; }
  /// Tokens of each sample, numbered through the trace.
  const std::vector<std::vector<std::size_t>>& samples() const { return samples_; }
  std::span<const std::uint16_t> of(std::size_t token, std::size_t layer) const {
    return std::span(expert_).subspan((token * layers_ + layer) * k_, k_);
  }

 private:
  void add(const LogitSample& sample, const RouterSpec& router) {
    const Utilities utilities(sample, router);
    THERMOE_EXPECT(utilities.finite(), "a logit of sample {} is not finite", samples_.size());
    std::vector<std::size_t>& numbers = samples_.emplace_back();
    for (int t = 0; t < sample.tokens; ++t) {
      numbers.push_back(tokens_++);
      for (std::size_t l = 0; l < layers_; ++l) {
        const std::size_t row =
            l * static_cast<std::size_t>(sample.tokens) + static_cast<std::size_t>(t);
        const auto best = utilities.ranking().experts(row).first(k_);
        expert_.insert(expert_.end(), best.begin(), best.end());
        const auto u = utilities.ranking().utilities(row);
        for (std::size_t i = 0; i < k_; ++i) shares_[i] += u[i];
      }
    }
  }

  std::size_t layers_, experts_, k_;
  std::size_t tokens_ = 0;
  std::vector<std::vector<std::size_t>> samples_{};
  std::vector<std::uint16_t> expert_{};  // [tokens, layers, k]
  std::vector<double> shares_;
};

/// D of some tokens, mean over layers.
double active_experts(const Picks& picks, std::span<const std::size_t> tokens) {
  std::vector<std::size_t> seen_in(picks.experts());
  std::size_t distinct = 0;
  for (std::size_t l = 0; l < picks.layers(); ++l) {
    for (const std::size_t token : tokens) {
      for (const std::uint16_t expert : picks.of(token, l)) {
        if (seen_in[expert] == l + 1) continue;
        seen_in[expert] = l + 1;
        ++distinct;
      }
    }
  }
  return static_cast<double>(distinct) / static_cast<double>(picks.layers());
}

/// Round after round, each sample in turn gives a token that it has not given yet.
std::vector<std::size_t> draw(const Picks& picks, std::size_t batch, std::mt19937_64& random) {
  std::vector<std::vector<std::size_t>> samples = picks.samples();
  shuffle(samples, random);
  for (auto& tokens : samples) shuffle(tokens, random);
  std::vector<std::size_t> drawn;
  for (std::size_t round = 0; drawn.size() < batch; ++round) {
    for (const auto& tokens : samples) {
      if (round < tokens.size() && drawn.size() < batch) drawn.push_back(tokens[round]);
    }
  }
  return drawn;
}

ActiveExperts of_batch(const Picks& picks, int batch, const TraceSampling& sampling) {
  // Its own generator: a batch's figures do not depend on which others are asked for.
  std::mt19937_64 random(sampling.seed);
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(sampling.draws));
  for (int i = 0; i < sampling.draws; ++i) {
    values.push_back(active_experts(picks, draw(picks, static_cast<std::size_t>(batch), random)));
  }
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0.0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {.batch = batch,
          .mean = mean,
          .deviation = std::sqrt(squares / n),
          .uniform = uniform_active_experts(static_cast<int>(picks.experts()),
                                            static_cast<int>(picks.k()), batch)};
}

LayerLoad load_of(const std::vector<double>& counts) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  double entropy = 0.0;
  for (const double count : counts) {
    if (count > 0) entropy -= count / total * std::log(count / total);
  }
  const auto experts = static_cast<double>(counts.size());
  return {.most = *std::max_element(counts.begin(), counts.end()) * experts / total,
          .entropy = counts.size() > 1 ? entropy / std::log(experts) : 1.0};
}

std::vector<LayerLoad> loads(const Picks& picks) {
  std::vector<LayerLoad> result;
  for (std::size_t l = 0; l < picks.layers(); ++l) {
    std::vector<double> counts(picks.experts());
    for (std::size_t t = 0; t < picks.tokens(); ++t) {
      for (const std::uint16_t expert : picks.of(t, l)) ++counts[expert];
    }
    result.push_back(load_of(counts));
  }
  return result;
}

/// Chance alone makes some expert the busiest: the more so, the fewer tokens there are.
LayerLoad uniform_load(const Picks& picks, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::size_t> experts(picks.experts());
  std::iota(experts.begin(), experts.end(), 0U);
  std::vector<double> counts(picks.experts());
  for (std::size_t t = 0; t < picks.tokens(); ++t) {
    for (std::size_t i = 0; i < picks.k(); ++i) {  // the first k of a shuffle
      std::swap(experts[i], experts[i + pick(random, experts.size() - i)]);
      ++counts[experts[i]];
    }
  }
  return load_of(counts);
}

}  // namespace

double uniform_active_experts(int experts, int k, double batch) {
  return experts * (1.0 - std::pow(1.0 - static_cast<double>(k) / experts, batch));
}

TraceStatistics trace_statistics(const RouterLogits& trace, const TraceSampling& sampling) {
  THERMOE_EXPECT(!trace.samples.empty() && sampling.draws >= 1, "{} samples, {} draws",
                 trace.samples.size(), sampling.draws);
  const Picks picks(trace);
  TraceStatistics result{.shares = picks.shares(),
                         .load = loads(picks),
                         .uniform_load = uniform_load(picks, sampling.seed)};
  for (const auto& sample : picks.samples()) {
    result.recorded_active +=
        active_experts(picks, sample) / static_cast<double>(picks.samples().size());
  }
  for (const int batch : sampling.batches) {
    THERMOE_EXPECT(batch >= 1 && static_cast<std::size_t>(batch) <= picks.tokens(),
                   "a batch of {} tokens from {}", batch, picks.tokens());
    result.active.push_back(of_batch(picks, batch, sampling));
  }
  return result;
}

}  // namespace thermoe
