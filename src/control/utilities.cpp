// SPDX-License-Identifier: Apache-2.0
#include "control/utilities.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/errors.h"
#include "core/router_score.h"

namespace thermoe {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLeastNorm = std::numeric_limits<float>::min();  // of a row of -infinity

/// The largest value, and whether none is NaN or +infinity: eight side by side, for vector code.
std::pair<float, bool> largest_if_usable(std::span<const float> row) {
  constexpr float kMost = std::numeric_limits<float>::max();
  std::array<float, 8> most{};
  most.fill(-kMost);
  std::array<int, 8> bad{};
  std::size_t i = 0;
  for (; i + 8 <= row.size(); i += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      const float x = row[i + j];
      most[j] = x > most[j] ? x : most[j];
      bad[j] |= x <= kMost ? 0 : 1;
    }
  }
  for (; i < row.size(); ++i) {
    most[0] = row[i] > most[0] ? row[i] : most[0];
    bad[0] |= row[i] <= kMost ? 0 : 1;
  }
  return {*std::max_element(most.begin(), most.end()),
          std::all_of(bad.begin(), bad.end(), [](int b) { return b == 0; })};
}

}  // namespace

Utilities::Utilities(const LogitSample& sample, const RouterSpec& router)
    : layers_(sample.layers),
      tokens_(sample.tokens),
      router_(router),
      reach_(router.groups > 0 ? router.experts / router.groups * router.groups_kept : 0) {
  const auto problem = find_problem(router, layers_);
  THERMOE_EXPECT(!problem, "router: {} {}", problem->key, problem->problem);
  THERMOE_EXPECT(layers_ >= 1 && tokens_ >= 1 && sample.experts == router.experts,
                 "sample of layers={} tokens={} experts={} for a router of {} experts", layers_,
                 tokens_, sample.experts, router.experts);
  const std::size_t rows = static_cast<std::size_t>(layers_) * static_cast<std::size_t>(tokens_);
  const auto width = static_cast<std::size_t>(experts());
  THERMOE_EXPECT(sample.logits.size() == rows * width, "sample has {} logits, its shape says {}",
                 sample.logits.size(), rows * width);
  logits_ = sample.logits;
  most_.resize(rows);
  mass_.resize(rows);
  if (!plain()) {
    p_.resize(width);
    selection_.resize(width);
    norm_.assign(rows, 1.0F);
  }
  const int aim = std::min(reach_, 2 * k() + 2);
  ranking_.reserve(rows, static_cast<std::size_t>(aim) + 4, biased_losses());
  RowCut cut(std::min(k() + 1, aim), aim);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto [most, usable] = largest_if_usable(logits_of(r));
    finite_ = finite_ && usable;
    if (!finite_) return;
    most_[r] = most;
    if (plain())
      rank_by_logit(r, cut);
    else
      rank_by_selection(r, cut);
  }
  keys_ = {};
}

std::span<const float> Utilities::logits_of(std::size_t r) const {
  const auto width = static_cast<std::size_t>(experts());
  return std::span(logits_).subspan(r * width, width);
}

std::span<const float> Utilities::beta_of(std::size_t r) const {
  return router_.layer_bias(static_cast<int>(r / static_cast<std::size_t>(tokens_)));
}

/// p of a row; of the softmax without beta up to a factor, which cancels in u and v.
void Utilities::score(std::size_t r, std::span<float> p) const {
  const auto logits = logits_of(r);
  const float most = most_[r];
  switch (router_.score) {  // one loop each: the choice stays out of it
    case ScoreFunction::kSoftmax:
      std::transform(logits.begin(), logits.end(), p.begin(),
                     [&](float x) { return score_of(ScoreFunction::kSoftmax, x, most); });
      return;
    case ScoreFunction::kSigmoid:
      std::transform(logits.begin(), logits.end(), p.begin(),
                     [&](float x) { return score_of(ScoreFunction::kSigmoid, x, most); });
      return;
    case ScoreFunction::kSqrtSoftplus:
      std::transform(logits.begin(), logits.end(), p.begin(),
                     [&](float x) { return score_of(ScoreFunction::kSqrtSoftplus, x, most); });
      return;
  }
}

int Utilities::in_reach(std::size_t r, int i) const {
  if (groups_.empty()) return i;
  const int size = experts() / router_.groups;
  return groups_[r * static_cast<std::size_t>(router_.groups_kept) +
                 static_cast<std::size_t>(i / size)] *
             size +
         i % size;
}

std::span<const float> Utilities::reached(std::size_t r, std::span<const float> row,
                                          std::vector<float>& scratch) const {
  if (groups_.empty()) return row;
  scratch.clear();
  const auto size = static_cast<std::ptrdiff_t>(experts() / router_.groups);
  for (int g = 0; g < reach_; g += static_cast<int>(size)) {
    const auto first = row.begin() + in_reach(r, g);
    scratch.insert(scratch.end(), first, first + size);
  }
  return scratch;
}

/// The order of p is that of the logits: p of few is asked for.
void Utilities::rank_by_logit(std::size_t r, RowCut& cut) {
  const std::span<const float> logits = logits_of(r);
  const float most = most_[r];
  const ScoreFunction score = router_.score;
  const std::span<const int> candidates = cut.pass(logits);
  rank(
      r, candidates, score_of(score, cut.cut(), most),
      [&](int e) { return score_of(score, logits[static_cast<std::size_t>(e)], most); },
      [](std::uint64_t key) { return preference_of(key); });
}

void Utilities::rank_by_selection(std::size_t r, RowCut& cut) {
  score(r, p_);
  if (router_.score == ScoreFunction::kSoftmax) {
    norm_[r] = std::max(std::accumulate(p_.begin(), p_.end(), 0.0F), kLeastNorm);
    for (float& p : p_) p /= norm_[r];
  }
  selection_ = p_;
  const std::span<const float> beta = beta_of(r);
  for (std::size_t e = 0; e < beta.size(); ++e) selection_[e] += beta[e];
  if (router_.group_limited()) choose_groups();
  const std::span<const int> candidates = cut.pass(reached(r, selection_, reached_));
  rank(
      r, candidates, cut.cut(), [&](int e) { return selection_[static_cast<std::size_t>(e)]; },
      [&](std::uint64_t key) { return p_[static_cast<std::size_t>(expert_of(key))]; });
}

/// The best groups by the sum of their two best p + beta, in rising order; ties: lowest id.
void Utilities::choose_groups() {
  const auto size = static_cast<std::size_t>(experts() / router_.groups);
  keys_.clear();
  for (int g = 0; g < router_.groups; ++g) {
    float best = -kInfinity;
    float second = -kInfinity;
    for (const float s : std::span(selection_).subspan(static_cast<std::size_t>(g) * size, size)) {
      second = std::max(second, std::min(best, s));
      best = std::max(best, s);
    }
    keys_.push_back(preference_key(size == 1 ? best : best + second, g));
  }
  std::sort(keys_.begin(), keys_.end());
  const auto first = static_cast<std::ptrdiff_t>(groups_.size());
  for (int i = 0; i < router_.groups_kept; ++i) {
    groups_.push_back(static_cast<std::uint16_t>(expert_of(keys_[static_cast<std::size_t>(i)])));
  }
  std::sort(groups_.begin() + first, groups_.end());
}

/// `candidates`: places in the token's reach, all that are not below the cut. `selection` of an
/// expert is what it is picked by, `score` of a key made of it p.
template <class Selection, class Score>
void Utilities::rank(std::size_t r, std::span<const int> candidates, float cut,
                     const Selection& selection, const Score& score) {
  const auto k = static_cast<std::size_t>(router_.k);
  const auto reach = static_cast<std::size_t>(reach_);
  keys_.clear();
  for (const int i : candidates) {
    const int e = in_reach(r, i);
    keys_.push_back(preference_key(selection(e), e));
  }
  std::sort(keys_.begin(), keys_.end());
  // The softmax's own normaliser cancels in u: only the ratio to the top-k mass remains.
  float mass = 0.0F;
  for (std::size_t i = 0; i < k; ++i) mass += score(keys_[i]);
  mass_[r] = mass;
  mass = divisor(r);
  // Equal v of unequal p + beta go by id as well: sort again by what they are divided to. Whatever
  // did not pass has at most the cut's v; candidates that do not surpass it are not certain.
  const float outside = candidates.size() == reach ? -kInfinity : cut / mass;
  for (std::uint64_t& key : keys_) key = preference_key(preference_of(key) / mass, expert_of(key));
  if (!std::is_sorted(keys_.begin(), keys_.end())) std::sort(keys_.begin(), keys_.end());
  std::size_t certain = keys_.size();
  while (certain > 0 && preference_of(keys_[certain - 1]) <= outside) --certain;
  if (certain < std::min(k + 1, reach)) {  // a tie across the cut: take them all
    keys_.clear();
    for (int i = 0; i < reach_; ++i) {
      const int e = in_reach(r, i);
      keys_.push_back(preference_key(selection(e) / mass, e));
    }
    std::sort(keys_.begin(), keys_.end());
    certain = reach;
  }
  for (std::size_t i = 0; i < certain; ++i) {
    const std::uint64_t key = keys_[i];
    const float u = plain() ? preference_of(key) : score(key) / mass;
    ranking_.add(expert_of(key), u);
    if (biased_losses()) ranking_.add_loss_score(preference_of(key));
  }
  ranking_.end_row();
}

void Utilities::evaluate(std::size_t r, std::span<float> u) const {
  score(r, u);
  const float mass = divisor(r);
  if (plain()) {
    for (float& x : u) x /= mass;
    return;
  }
  const float norm = norm_[r];
  for (float& x : u) x = x / norm / mass;
  hide_beyond_reach(r, u, 0.0F);
}

void Utilities::evaluate_selection(std::size_t r, std::span<float> v) const {
  if (plain()) return evaluate(r, v);
  score(r, v);
  const float norm = norm_[r];
  const float mass = divisor(r);
  const std::span<const float> beta = beta_of(r);
  for (std::size_t e = 0; e < v.size(); ++e) {
    const float p = v[e] / norm;
    v[e] = (beta.empty() ? p : p + beta[e]) / mass;
  }
  hide_beyond_reach(r, v, -kInfinity);
}

void Utilities::hide_beyond_reach(std::size_t r, std::span<float> row, float value) const {
  if (groups_.empty()) return;
  const auto size = static_cast<std::ptrdiff_t>(experts() / router_.groups);
  auto next = row.begin();
  for (int g = 0; g < reach_; g += static_cast<int>(size)) {
    const auto first = row.begin() + in_reach(r, g);
    std::fill(next, first, value);
    next = first + size;
  }
  std::fill(next, row.end(), value);
}

std::span<const float> Utilities::all() const {
  if (u_.empty() && finite_) {
    u_.resize(logits_.size());
    const auto width = static_cast<std::size_t>(experts());
    for (std::size_t r = 0; r < most_.size(); ++r) {
      evaluate(r, std::span(u_).subspan(r * width, width));
    }
  }
  return u_;
}

std::span<const float> Utilities::all_selection() const {
  if (plain()) return all();
  if (v_.empty() && finite_) {
    v_.resize(logits_.size());
    const auto width = static_cast<std::size_t>(experts());
    for (std::size_t r = 0; r < most_.size(); ++r) {
      evaluate_selection(r, std::span(v_).subspan(r * width, width));
    }
  }
  return v_;
}

}  // namespace thermoe
