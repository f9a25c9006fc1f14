// SPDX-License-Identifier: Apache-2.0
#include "moe/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "core/errors.h"

namespace thermoe {
namespace {

/// A stretch of a document: `bytes` are fed, those from `scored_from` on are counted.
struct Window {
  std::size_t domain = 0;
  std::vector<std::uint8_t> bytes{};  // first byte is context only
  std::size_t scored_from = 1;
};

void cut_into_windows(std::span<const std::uint8_t> document, std::size_t domain,
                      std::size_t context, std::vector<Window>& windows) {
  std::vector<std::uint8_t> bytes{0};
  bytes.insert(bytes.end(), document.begin(), document.end());
  const std::size_t half = context / 2;
  for (std::size_t scored = 1; scored < bytes.size();) {
    const std::size_t begin = scored == 1 ? 0 : scored - half;
    const std::size_t end = std::min(bytes.size(), begin + context + 1);
    windows.push_back({.domain = domain,
                       .bytes = {bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                 bytes.begin() + static_cast<std::ptrdiff_t>(end)},
                       .scored_from = scored - begin});
    scored = end;
  }
}

double bits_of(std::span<const float> logits, std::uint8_t byte) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v - top));
  return (std::log(sum) - (logits[byte] - top)) / std::numbers::ln2;
}

/// Scores windows of similar length as one padded batch: causal, so padding changes nothing before
/// it, and the baseline router looks at each token alone.
void score_windows(SequenceScorer& scorer, std::span<const Window> windows, const RoutingPlan& plan,
                   std::vector<DomainScore>& scores) {
  std::size_t length = 0;
  for (const Window& w : windows) length = std::max(length, w.bytes.size() - 1);
  std::vector<std::uint8_t> fed(windows.size() * length, 0);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    std::copy(windows[i].bytes.begin(), windows[i].bytes.end() - 1,
              fed.begin() + static_cast<std::ptrdiff_t>(i * length));
  }
  const auto vocab = static_cast<std::size_t>(scorer.config().vocab);
  const std::vector<float> logits =
      scorer.logits(fed, static_cast<int>(windows.size()), static_cast<int>(length), plan);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    DomainScore& score = scores[windows[i].domain];
    for (std::size_t p = windows[i].scored_from; p < windows[i].bytes.size(); ++p) {
      const auto row = std::span(logits).subspan((i * length + p - 1) * vocab, vocab);
      score.bits_per_byte += bits_of(row, windows[i].bytes[p]);
      ++score.bytes;
    }
  }
}

}  // namespace

std::vector<DomainScore> score_domains(SequenceScorer& scorer, const std::vector<DomainText>& text,
                                       const EvaluationProgress& progress) {
  constexpr std::size_t kBatch = 16;
  std::vector<Window> windows;
  std::vector<DomainScore> scores(text.size());
  for (std::size_t d = 0; d < text.size(); ++d) {
    scores[d].name = text[d].name;
    for (const auto document : text[d].documents) {
      cut_into_windows(document, d, static_cast<std::size_t>(scorer.config().context), windows);
    }
  }
  std::ranges::stable_sort(windows, {}, [](const Window& w) { return w.bytes.size(); });
  const RoutingPlan plan = scorer.baseline();
  for (std::size_t i = 0; i < windows.size(); i += kBatch) {
    const std::size_t n = std::min(kBatch, windows.size() - i);
    score_windows(scorer, std::span(windows).subspan(i, n), plan, scores);
    progress(static_cast<double>(i + n) / static_cast<double>(windows.size()));
  }
  for (DomainScore& s : scores) {
    if (s.bytes > 0) s.bits_per_byte /= static_cast<double>(s.bytes);
  }
  return scores;
}

PolicyBatches make_policy_batches(const std::vector<DomainText>& text, int rows, int length,
                                  int batches, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<std::span<const std::uint8_t>>> long_enough;
  for (const DomainText& domain : text) {
    std::vector<std::span<const std::uint8_t>> kept;
    for (const auto d : domain.documents) {
      if (d.size() + 1 >= static_cast<std::size_t>(length)) kept.push_back(d);
    }
    std::ranges::shuffle(kept, random);
    if (!kept.empty()) long_enough.push_back(std::move(kept));
  }
  if (long_enough.empty()) {
    throw UsageError(
        fmt::format("no document has {} bytes: choose a smaller --length", length - 1));
  }
  PolicyBatches made{.rows = rows, .length = length};
  std::size_t row = 0;
  for (int b = 0; b < batches; ++b) {
    std::vector<std::uint8_t> bytes;
    for (int r = 0; r < rows; ++r, ++row) {
      const auto& domain = long_enough[row % long_enough.size()];
      const auto document = domain[row / long_enough.size() % domain.size()];
      const std::size_t spare = document.size() + 1 - static_cast<std::size_t>(length);
      const std::size_t begin = std::uniform_int_distribution<std::size_t>(0, spare)(random);
      bytes.push_back(0);
      bytes.insert(bytes.end(), document.begin() + static_cast<std::ptrdiff_t>(begin),
                   document.begin() + static_cast<std::ptrdiff_t>(begin) + length - 1);
    }
    made.batches.push_back(std::move(bytes));
  }
  return made;
}

SequenceScore score_policy(SequenceScorer& scorer, const PolicyBatches& batches,
                           const RoutingPlan& plan) {
  SequenceScore mean{.kept_mass = 0.0};
  const auto n = static_cast<double>(batches.batches.size());
  for (const auto& batch : batches.batches) {
    const SequenceScore s = scorer.score(batch, batches.rows, batches.length, plan);
    mean.targets += s.targets;
    mean.bits_per_byte += s.bits_per_byte / n;
    mean.mean_active += s.mean_active / n;
    mean.kept_mass += s.kept_mass / n;
    mean.expert_tokens.resize(s.expert_tokens.size());
    for (std::size_t i = 0; i < s.expert_tokens.size(); ++i)
      mean.expert_tokens[i] += s.expert_tokens[i];
  }
  return mean;
}

RoutingPlan priced_plan_of(RoutingPlan plan, double price, int k_min) {
  for (int l = 0; l < plan.layers(); ++l) {
    plan.layer(l).k_min = k_min;
    std::ranges::fill(plan.activation_price(l), static_cast<float>(price));
  }
  return plan;
}

RoutingPlan reduced_plan_of(RoutingPlan plan, double k) {
  plan.set_fractional_k(k);
  return plan;
}

PricedPoint find_price(SequenceScorer& scorer, const PolicyBatches& batches, double active,
                       int k_min) {
  double low = 0.0;
  double high = 0.05;
  PricedPoint point;
  // The number of active experts never rises with the price, so bracketing and bisection find it.
  for (int i = 0; i < 20; ++i) {
    point = {
        .price = high,
        .score = score_policy(scorer, batches, priced_plan_of(scorer.baseline(), high, k_min))};
    if (point.score.mean_active <= active) break;
    low = high;
    high *= 2.0;
  }
  while (high - low > 0.02 * high) {
    const double middle = 0.5 * (low + high);
    const PricedPoint p{
        .price = middle,
        .score = score_policy(scorer, batches, priced_plan_of(scorer.baseline(), middle, k_min))};
    if (p.score.mean_active <= active) {
      high = middle;
      point = p;
    } else {
      low = middle;
    }
  }
  return point;
}

ReducedPoint find_reduced_k(SequenceScorer& scorer, const PolicyBatches& batches, double active) {
  double low = 1.0;
  double high = scorer.config().top_k;
  ReducedPoint point{
      .k = low, .score = score_policy(scorer, batches, reduced_plan_of(scorer.baseline(), low))};
  while (high - low > 0.02) {
    const double middle = 0.5 * (low + high);
    const ReducedPoint p{
        .k = middle,
        .score = score_policy(scorer, batches, reduced_plan_of(scorer.baseline(), middle))};
    if (p.score.mean_active <= active) {
      low = middle;
      point = p;
    } else {
      high = middle;
    }
  }
  return point;
}

}  // namespace thermoe
