// SPDX-License-Identifier: Apache-2.0
#include "run/baseline_reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "core/errors.h"

namespace thermoe {
namespace {

double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0.0;
  for (const float x : row) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

std::size_t vocabulary(std::span<const float> logits, std::size_t streams) {
  THERMOE_EXPECT(streams > 0 && logits.size() % streams == 0 && !logits.empty(),
                 "{} logits for {} streams", logits.size(), streams);
  return logits.size() / streams;
}

/// KL(p || q) in nats; p as log-probabilities, q as logits.
double divergence(std::span<const float> p, std::span<const float> q) {
  const double normaliser = log_sum_exp(q);
  double kl = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - (q[i] - normaliser));
  return std::max(0.0, kl);  // rounding
}

std::ptrdiff_t likeliest(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

}  // namespace

std::vector<double> target_nats(std::span<const float> logits,
                                std::span<const std::uint8_t> targets) {
  const std::size_t vocab = vocabulary(logits, targets.size());
  std::vector<double> nats;
  for (std::size_t s = 0; s < targets.size(); ++s) {
    const auto row = logits.subspan(s * vocab, vocab);
    nats.push_back(log_sum_exp(row) - row[targets[s]]);
  }
  return nats;
}

double bits_per_byte(std::span<const double> nats) {
  const double sum = std::accumulate(nats.begin(), nats.end(), 0.0);
  return sum / (std::numbers::ln2 * static_cast<double>(nats.size()));
}

bool BaselineReference::sampled(std::size_t step) const {
  return kl_every_ > 0 && step % static_cast<std::size_t>(kl_every_) == 0;
}

void BaselineReference::record(std::span<const float> logits, std::span<const double> nats,
                               std::span<const int> restarts) {
  const bool keep = sampled(bits_.size());
  bits_.push_back(bits_per_byte(nats));
  pieces_.add(restarts, nats);
  if (!keep) return;
  const std::size_t vocab = vocabulary(logits, nats.size());
  std::vector<float>& kept = log_probability_.emplace_back(logits.begin(), logits.end());
  for (std::size_t s = 0; s < nats.size(); ++s) {
    const auto row = std::span(kept).subspan(s * vocab, vocab);
    const double normaliser = log_sum_exp(row);
    for (float& x : row) x = static_cast<float>(x - normaliser);
  }
}

StepQuality BaselineReference::compare(std::size_t step, std::span<const float> logits,
                                       std::span<const double> nats) const {
  StepQuality quality{.bits_per_byte = bits_per_byte(nats)};
  if (step >= bits_.size()) return quality;
  quality.baseline_bits = bits_[step];
  if (!sampled(step)) return quality;
  const std::span<const float> reference =
      log_probability_[step / static_cast<std::size_t>(kl_every_)];
  THERMOE_EXPECT(reference.size() == logits.size(), "{} logits against {} of BASELINE",
                 logits.size(), reference.size());
  const std::size_t vocab = vocabulary(logits, nats.size());
  double kl = 0.0;
  double agreeing = 0.0;
  for (std::size_t s = 0; s < nats.size(); ++s) {
    const auto p = reference.subspan(s * vocab, vocab);
    const auto q = logits.subspan(s * vocab, vocab);
    kl += divergence(p, q);
    agreeing += likeliest(p) == likeliest(q) ? 1.0 : 0.0;
  }
  quality.kl_to_baseline = kl / static_cast<double>(nats.size());
  quality.top1_agreement = agreeing / static_cast<double>(nats.size());
  return quality;
}

}  // namespace thermoe
