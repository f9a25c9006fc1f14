// SPDX-License-Identifier: Apache-2.0
#include "moe/evaluation.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <mutex>
#include <numbers>
#include <span>

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

/// Runs work(0) … work(n - 1), each on one of the scorer's threads. False where the watch ended it.
bool on_threads(const SequenceScorer& scorer, std::size_t n, const ScoringWatch& watch,
                const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::size_t done = 0;
  std::mutex progressing;
  const auto worker = [&] {
    try {
      for (std::size_t i = next++; i < n; i = next++) {
        if (watch.stop != nullptr && *watch.stop) return;
        work(i);
        const std::scoped_lock lock(progressing);
        ++done;
        if (watch.progress) watch.progress(static_cast<double>(done) / static_cast<double>(n));
      }
    } catch (...) {
      next = n;  // the others need not go on
      throw;
    }
  };
  std::vector<std::future<void>> workers;
  const std::size_t threads = std::min(n, static_cast<std::size_t>(scorer.threads()));
  for (std::size_t t = 0; t < threads; ++t) {
    workers.push_back(std::async(std::launch::async, worker));
  }
  for (std::future<void>& w : workers) w.wait();
  for (std::future<void>& w : workers) w.get();
  return done == n;
}

/// Bits of each window's scored bytes. Windows of similar length are one padded batch: causal, so
/// padding changes nothing before it, and the baseline router looks at each token alone.
std::vector<double> window_bits(const SequenceScorer& scorer, std::span<const Window> windows) {
  std::size_t length = 0;
  for (const Window& w : windows) length = std::max(length, w.bytes.size() - 1);
  std::vector<std::uint8_t> fed(windows.size() * length, 0);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    std::copy(windows[i].bytes.begin(), windows[i].bytes.end() - 1,
              fed.begin() + static_cast<std::ptrdiff_t>(i * length));
  }
  const auto vocab = static_cast<std::size_t>(scorer.config().vocab);
  const std::vector<float> logits = scorer.logits(fed, static_cast<int>(windows.size()),
                                                  static_cast<int>(length), scorer.baseline());
  std::vector<double> bits(windows.size());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    for (std::size_t p = windows[i].scored_from; p < windows[i].bytes.size(); ++p) {
      const auto row = std::span(logits).subspan((i * length + p - 1) * vocab, vocab);
      bits[i] += bits_of(row, windows[i].bytes[p]);
    }
  }
  return bits;
}

/// Adds a batch to sums over batches.
void add_batch(const SequenceScore& s, const DecodeBatch& batch, int length, PolicyScore& sum) {
  sum.mean_active += s.mean_active;
  sum.kept_mass += s.kept_mass;
  sum.quality_loss += s.quality_loss;
  sum.expert_tokens.resize(s.expert_tokens.size());
  for (std::size_t i = 0; i < s.expert_tokens.size(); ++i)
    sum.expert_tokens[i] += s.expert_tokens[i];
  for (std::size_t r = 0; r < batch.counted.size(); ++r) {
    const CountedBytes& c = batch.counted[r];
    const float* bits = s.bits.data() + r * static_cast<std::size_t>(length - 1);
    for (int p = c.first; p < c.last; ++p) {
      sum.document_bits[static_cast<std::size_t>(c.document)] += bits[p - 1];
    }
    sum.bytes += c.last - c.first;
  }
}

}  // namespace

std::optional<std::vector<DomainScore>> score_domains(const SequenceScorer& scorer,
                                                      const std::vector<DomainText>& text,
                                                      const ScoringWatch& watch) {
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
  std::vector<std::vector<double>> bits((windows.size() + kBatch - 1) / kBatch);
  const auto batch = [&](std::size_t b) {
    return std::span(windows).subspan(b * kBatch, std::min(kBatch, windows.size() - b * kBatch));
  };
  if (!on_threads(scorer, bits.size(), watch,
                  [&](std::size_t b) { bits[b] = window_bits(scorer, batch(b)); })) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < windows.size(); ++i) {
    DomainScore& score = scores[windows[i].domain];
    score.bits_per_byte += bits[i / kBatch][i % kBatch];
    score.bytes += static_cast<std::int64_t>(windows[i].bytes.size() - windows[i].scored_from);
  }
  for (DomainScore& s : scores) {
    if (s.bytes > 0) s.bits_per_byte /= static_cast<double>(s.bytes);
  }
  return scores;
}

std::optional<PolicyScore> score_policy(const SequenceScorer& scorer, const DecodeBatches& batches,
                                        const RoutingPlan& plan, const ScoringWatch& watch) {
  std::vector<SequenceScore> scores(batches.batches.size());
  if (!on_threads(scorer, scores.size(), watch, [&](std::size_t b) {
        scores[b] = scorer.score(batches.batches[b].bytes, batches.rows, batches.length, plan);
      })) {
    return std::nullopt;
  }
  PolicyScore sum{.document_bits = std::vector<double>(batches.documents)};
  for (std::size_t b = 0; b < scores.size(); ++b) {
    add_batch(scores[b], batches.batches[b], batches.length, sum);
  }
  const auto n = static_cast<double>(scores.size());
  sum.mean_active /= n;
  sum.kept_mass /= n;
  sum.quality_loss /= n;
  for (const double bits : sum.document_bits) sum.bits_per_byte += bits;
  sum.bits_per_byte /= static_cast<double>(sum.bytes);
  return sum;
}

}  // namespace thermoe
