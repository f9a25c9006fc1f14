// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "kernels/cuda/route_plan.cuh"
#include "kernels/cuda/route_scores.cuh"

// A warp routes a token; lane l holds its experts l, l + 32, … in registers. What all lanes need of
// the picks lies in memory, by slot.
namespace thermoe::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = ~0U;

/// What is kept of a token between the steps of a call.
struct TokenState {
  std::int32_t* id;  ///< [kept] picks, best first; behind `picked` they mean nothing
  float* mass;       ///< [kept] of them
  float* lost;       ///< [kept] what the token would lose with each
  int picked = 0;
  float top_mass = 0.0F;
  float highest = 0.0F;
  float whole = 0.0F;
};

/// Softmax over all experts and no beta, as most routers are: a kernel for these alone is a tenth
/// of the code, and fetching code is what short kernels spend their time on.
inline bool is_plain(const RouterView& router) {
  return router.score == ScoreFunction::kSoftmax &&
         router.denominator != WeightDenominator::kNone && !router.bias && !router.group_limited();
}

/// A token's experts: lane l has l + 32 j at place j. `kPlain`: of routers that are.
template <int kPlaces, bool kPlain = false>
class WarpToken {
 public:
  __device__ WarpToken(const TopkRouteArgs& args, int lane) : a_(args), lane_(lane) {}
  __device__ void set(RouteFlags flags) { flags_ = flags; }

  /// Reads the logits of a row of the call, and waits for none of them.
  __device__ void load(std::int64_t row) {
    first_ = row * a_.router.experts;
    if (a_.logits.type == FloatType::kF32) return load_as<float>();
    load_as<std::uint16_t>();
  }

  /// Keys of the logits that were loaded last, which it does once: those of the model alone.
  /// `ranks`: [experts] floats of scratch of this warp, for routers with groups.
  __device__ void rank(TokenState& s, float* ranks) {
    widen();
    std::uint32_t best = 0;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      key_[j] = key_of(x_[j]);
      best = max(best, key_[j]);
    }
    best = __reduce_max_sync(kAllLanes, best);
    const float highest = best == 0 ? 0.0F : value_of(best);
    s.highest = highest >= -3.402823466e+38F ? highest : 0.0F;
    s.whole = 1.0F;
    numbered_ = false;
    if constexpr (kPlain) return number_keys();
    const bool biased = has_model_bias();
    const bool sums = a_.router.score == ScoreFunction::kSoftmax &&
                      (biased || a_.router.denominator == WeightDenominator::kNone);
    s.whole = sums ? whole_mass(s.highest) : 1.0F;
    const bool grouped = a_.router.groups_kept < a_.router.groups;
    if (!biased && !grouped) return number_keys();
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int e = j * kWarp + lane_;
      float score = mass(x_[j], s.highest);
      if (biased && e < a_.router.experts) score = score + a_.router.bias[e] * s.whole;
      score_[j] = score;
    }
    if (grouped) keep_own_groups(ranks);
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) key_[j] = key_of(biased ? score_[j] : x_[j]);
    if (!biased) number_keys();
  }

  /// Keys under the plan's bias.
  __device__ void lower_by_bias(const TokenState& s) {
    numbered_ = false;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int e = j * kWarp + lane_;
      if (e >= a_.router.experts) continue;
      // Many are read again: kept until here, they would take registers from all plain calls.
      const float x = kPlain && kPlaces >= 8 ? logit(a_.logits, first_ + e) : x_[j];
      const float score = has_model_bias() ? score_[j] : mass(x, s.highest);
      key_[j] = key_of(score - a_.plan.selection_bias[e] * s.top_mass);
    }
  }

  /// The k best experts that `allowed(e)` lets through, into s.id; their masses beside them. The
  /// first `keep` of them are the token's picks, which find_losses knows where all were allowed.
  template <class Allowed>
  __device__ void pick(int k, int keep, Allowed allowed, TokenState& s) {
    std::uint32_t left[kPlaces];
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      left[j] = key_[j] != 0 && allowed(j * kWarp + lane_) ? key_[j] : 0;
    }
    picks_ = 0;
    s.picked = numbered_ ? pick_numbered(left, k, keep, s) : pick_by_vote(left, k, keep, s);
    __syncwarp();
#pragma unroll 1
    for (int i = lane_; i < s.picked; i += kWarp) {
      const auto key = static_cast<std::uint32_t>(s.id[i]);
      if (numbered_) s.id[i] = id_of(key);
      const float x = numbered_ ? logit_of(key) : logit(a_.logits, first_ + s.id[i]);
      s.mass[i] = mass(x, s.highest);
    }
    __syncwarp();
  }

  /// The picks of s, of a token that was loaded anew.
  __device__ void recall_picks(const TokenState& s) {
    picks_ = 0;
    for (int n = 0; n < s.picked; ++n) {
      if (s.id[n] % kWarp == lane_) picks_ |= 1U << s.id[n] / kWarp;
    }
  }

  /// What the token would lose with each of its picks: the best expert that `in_union(e)` and that
  /// it did not pick would take its place.
  template <class InUnion>
  __device__ void find_losses(InUnion in_union, TokenState& s) {
    std::uint32_t left[kPlaces];
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const bool other = key_[j] != 0 && (picks_ >> j & 1U) == 0 && in_union(j * kWarp + lane_);
      left[j] = other ? key_[j] : 0;
    }
    const Best own(left, lane_);
    const std::uint32_t next_key = __reduce_max_sync(kAllLanes, own.key);
    const unsigned next = __reduce_min_sync(kAllLanes, own.key == next_key ? own.id : ~0U);
    const bool biased = has_model_bias() && a_.router.loss_scores == LossScores::kBiased;
    float fallback = 0.0F;
    if (next_key != 0) {
      const float x = numbered_ ? logit_of(next_key) : logit(a_.logits, first_ + next);
      fallback = mass(x, s.highest);
      if (biased) fallback = fallback + a_.router.bias[next] * s.whole;
    }
#pragma unroll 1
    for (int i = lane_; i < s.picked; i += kWarp) {
      float score = s.mass[i];
      if (biased) score = score + a_.router.bias[s.id[i]] * s.whole;
      const float lost = (score - fallback) / s.top_mass;
      s.lost[i] = s.top_mass > 0.0F && lost > 0.0F ? lost : 0.0F;
    }
  }

 private:
  __device__ bool has_model_bias() const { return !kPlain && flags_.has(RouteFlags::kModelBias); }
  __device__ float mass(float x, float highest) const {
    return mass_of(kPlain ? ScoreFunction::kSoftmax : a_.router.score, x, highest);
  }

  /// The row's bits as they lie in memory.
  template <class Stored>
  __device__ void load_as() {
    const auto* const row = static_cast<const Stored*>(a_.logits.data) + first_;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int e = j * kWarp + lane_;
      x_[j] = e < a_.router.experts ? as_loaded(__ldg(row + e)) : 0.0F;
    }
  }
  __device__ static float as_loaded(float x) { return x; }
  __device__ static float as_loaded(std::uint16_t bits) { return __uint_as_float(bits); }

  /// What was loaded, as f32; NaN where there is no expert.
  __device__ void widen() {
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const std::uint32_t bits = __float_as_uint(x_[j]);
      if (a_.logits.type == FloatType::kBf16) x_[j] = __uint_as_float(bits << 16);
      if (a_.logits.type == FloatType::kF16) x_[j] = widen_f16(static_cast<std::uint16_t>(bits));
      if (j * kWarp + lane_ >= a_.router.experts) x_[j] = nan_value();
    }
  }

  /// The best of a lane's keys; of equal ones the lowest id. Key 0: there is none.
  struct Best {
    __device__ Best(const std::uint32_t (&keys)[kPlaces], int lane) : key(keys[0]), id(lane) {
#pragma unroll
      for (int j = 1; j < kPlaces; ++j) {
        if (keys[j] > key) key = keys[j], id = j * kWarp + lane;
      }
    }
    std::uint32_t key;
    unsigned id;
  };

  /// Picks into s.id the k best of `left`, which it uses up. How many there were.
  __device__ int pick_by_vote(std::uint32_t (&left)[kPlaces], int k, int keep, TokenState& s) {
    int n = 0;
    Best own(left, lane_);
#pragma unroll 1
    for (; n < k; ++n) {
      const std::uint32_t best = __reduce_max_sync(kAllLanes, own.key);
      if (best == 0) break;
      bool wins = own.key == best;
      if (__popc(__ballot_sync(kAllLanes, wins)) > 1) {
        wins = own.id == __reduce_min_sync(kAllLanes, wins ? own.id : ~0U);
      }
      if (!wins) continue;
      s.id[n] = static_cast<std::int32_t>(own.id);
      if (n < keep) picks_ |= 1U << own.id / kWarp;
#pragma unroll
      for (int j = 0; j < kPlaces; ++j) {
        if (static_cast<unsigned>(j * kWarp + lane_) == own.id) left[j] = 0;
      }
      own = Best(left, lane_);
    }
    return n;
  }

  /// Logits of 16 bits leave room in their keys' low bits, which are the same in all of one sign,
  /// for the experts' ids, the lowest highest: no two keys are equal then, and the best says whose
  /// it is.
  __device__ void number_keys() {
    numbered_ = a_.logits.type != FloatType::kF32;
    if (!numbered_) return;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const std::uint32_t number = kNumber - static_cast<unsigned>(j * kWarp + lane_);
      if (key_[j] != 0) key_[j] = (key_[j] & ~kNumber) | number;
    }
  }

  /// The same of numbered keys, which are left in s.id.
  __device__ int pick_numbered(std::uint32_t (&left)[kPlaces], int k, int keep, TokenState& s) {
    int n = 0;
#pragma unroll 1
    for (; n < k; ++n) {
      std::uint32_t own = left[0];
#pragma unroll
      for (int j = 1; j < kPlaces; ++j) own = max(own, left[j]);
      const std::uint32_t best = __reduce_max_sync(kAllLanes, own);
      if (best == 0) break;
      if (lane_ == 0) s.id[n] = static_cast<std::int32_t>(best);
#pragma unroll
      for (int j = 0; j < kPlaces; ++j) {
        if (left[j] == best) left[j] = 0;
      }
    }
    __syncwarp();
    const std::uint32_t last = n == 0 ? ~0U : static_cast<std::uint32_t>(s.id[min(n, keep) - 1]);
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      if (key_[j] >= last) picks_ |= 1U << j;
    }
    return n;
  }
  /// The expert of a numbered key, and its logit.
  __device__ static int id_of(std::uint32_t key) {
    return static_cast<int>(kNumber - (key & kNumber));
  }
  __device__ static float logit_of(std::uint32_t key) {
    return value_of(key & 0x80000000U ? key & ~kNumber : key | kNumber);
  }

  /// Masses summed as the CPU's sixteen lanes sum them: e, e + 16, … and then halves.
  __device__ float whole_mass(float highest) const {
    float total = 0.0F;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const float own = x_[j] == x_[j] ? mass(x_[j], highest) : 0.0F;
      const float behind = __shfl_xor_sync(kAllLanes, own, 16);
      total = total + own;
      total = total + behind;
    }
    for (int width = 8; width > 0; width /= 2) {
      total = total + __shfl_xor_sync(kAllLanes, total, width);
    }
    return __shfl_sync(kAllLanes, total, 0);
  }

  /// NaN for logits and scores outside the token's groups_kept best groups.
  __device__ void keep_own_groups(float* ranks) {
    const int experts = a_.router.experts;
    const int size = experts / a_.router.groups;
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int e = j * kWarp + lane_;
      if (e < experts) ranks[e] = score_[j];
    }
    __syncwarp();
    std::uint32_t rank[kPlaces];
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int g = j * kWarp + lane_;
      rank[j] = g < a_.router.groups ? key_of(group_rank(ranks + g * size, size)) : 0;
    }
    __syncwarp();
#pragma unroll 1
    for (int n = 0; n < a_.router.groups_kept; ++n) {
      const Best own(rank, lane_);
      const std::uint32_t best = __reduce_max_sync(kAllLanes, own.key);
      const unsigned winner = __reduce_min_sync(kAllLanes, own.key == best ? own.id : ~0U);
#pragma unroll
      for (int j = 0; j < kPlaces; ++j) {
        if (static_cast<unsigned>(j * kWarp + lane_) == winner) rank[j] = 0;  // taken
        const int e = j * kWarp + lane_;
        if (e < experts && static_cast<unsigned>(e / size) == winner) ranks[e] = nan_value();
      }
    }
    __syncwarp();
    // What is NaN now is the token's own, or was NaN.
#pragma unroll
    for (int j = 0; j < kPlaces; ++j) {
      const int e = j * kWarp + lane_;
      if (e < experts && ranks[e] == ranks[e]) x_[j] = score_[j] = nan_value();
    }
    __syncwarp();
  }

  __device__ static float group_rank(const float* score, int size) {
    float first = -infinity();
    float second = -infinity();
#pragma unroll 1
    for (int e = 0; e < size; ++e) {
      const float x = score[e];
      const float smaller = x > first ? first : x;
      first = x > first ? x : first;
      second = smaller > second ? smaller : second;
    }
    return second > -infinity() ? first + second : first;
  }

  static constexpr std::uint32_t kNumber = kMaxExperts - 1;  // the bits of an id
  static_assert((kMaxExperts & (kMaxExperts - 1)) == 0 && kMaxExperts <= 1 << 13);

  const TopkRouteArgs& a_;
  RouteFlags flags_{};
  int lane_;
  std::int64_t first_ = 0;
  float x_[kPlaces];
  float score_[kPlaces];
  std::uint32_t key_[kPlaces];
  bool numbered_ = false;
  unsigned picks_ = 0;  // places of this lane that the token picked
};

/// Calls launch(places) with the experts a lane must hold, as a constant.
template <class Launch>
void with_places(int experts, const Launch& launch) {
  if (experts <= 64) return launch(std::integral_constant<int, 2>());
  if (experts <= 128) return launch(std::integral_constant<int, 4>());
  if (experts <= 256) return launch(std::integral_constant<int, 8>());
  if (experts <= 512) return launch(std::integral_constant<int, 16>());
  launch(std::integral_constant<int, 32>());
}

/// Sum over the first picks in slot order.
__device__ inline float sum_of_masses(const TokenState& s, int most) {
  float sum = 0.0F;
  for (int n = 0; n < most; ++n) sum += s.mass[n];
  return sum;
}

/// Picks among the loaded logits before any price; leaves s complete but for its losses.
template <class Token>
__device__ void pick_unpriced(const TopkRouteArgs& a, RouteFlags flags, const TokenPlace& at,
                              Token& token, float* ranks, TokenState& s) {
  const auto any = [](int) { return true; };
  token.rank(s, ranks);
  token.pick(max(at.k, a.router.k), at.k, any, s);
  s.top_mass = sum_of_masses(s, min(s.picked, a.router.k));
  s.picked = min(s.picked, at.k);
  if (!flags.has(RouteFlags::kPlanBias)) return;
  token.lower_by_bias(s);
  token.pick(at.k, at.k, any, s);
}

}  // namespace thermoe::cuda
