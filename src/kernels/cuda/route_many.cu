// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/route_many.h"

#include <algorithm>

#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/route_outputs.cuh"

// A warp a token, and what tokens tell each other in the workspace. Losses are summed by a warp an
// expert, which reads all picks in the order of tokens. Counts are sums of integers, the same in
// any order; where the caller wants the picks sorted, they come with the sort.
namespace thermoe::cuda {
namespace {

constexpr int kWarps = 4;  // a block
constexpr int kWords = kMaxExperts / 32;

struct TokenScalars {
  int picked;
  float top_mass;
  float highest;
  float whole;
};

/// The workspace, for one batch after the other.
struct Shared {
  Shared(const RouterView& router, int tokens, int slots, std::byte* workspace)
      : kept(std::max(router.k, slots)),
        cells(static_cast<std::size_t>(tokens) * kept),
        flags(reinterpret_cast<unsigned*>(workspace)),
        in_union(flags + 4),
        active(in_union + kWords),
        scalars(reinterpret_cast<TokenScalars*>(active + kWords)),
        id(reinterpret_cast<std::int32_t*>(scalars + tokens)),
        mass(reinterpret_cast<float*>(id + cells)),
        lost(mass + cells),
        ordering(reinterpret_cast<std::byte*>(lost + cells)) {}

  int kept;
  std::size_t cells;
  unsigned* flags;
  unsigned* in_union;     ///< [kWords] bits of experts
  unsigned* active;       ///< [kWords]
  TokenScalars* scalars;  ///< [tokens]
  std::int32_t* id;       ///< [tokens, kept]
  float* mass;
  float* lost;
  std::byte* ordering;  ///< of the sort

  __device__ TokenState state(int t) const {
    const std::int64_t row = std::int64_t{t} * kept;
    return {.id = id + row, .mass = mass + row, .lost = lost + row};
  }
  __device__ TokenState saved(int t) const {
    TokenState s = state(t);
    const TokenScalars& scalar = scalars[t];
    s.picked = scalar.picked;
    s.top_mass = scalar.top_mass;
    s.highest = scalar.highest;
    s.whole = scalar.whole;
    return s;
  }
};

__device__ bool has_bit(const unsigned* words, int e) {
  return (words[e / 32] >> e % 32 & 1U) != 0;
}

/// Most are set already: an atomic for each would wait for all others.
__device__ void set_bit(unsigned* words, int e) {
  if (!has_bit(words, e)) atomicOr(words + e / 32, 1U << e % 32);
}

__device__ int token_of_warp() { return blockIdx.x * kWarps + threadIdx.x / kWarp; }
__device__ int lane_of_thread() { return threadIdx.x % kWarp; }

/// Scratch of a warp for routers with groups.
template <int kPlaces>
__device__ float* ranks_of_warp() {
  __shared__ float ranks[kWarps][kPlaces * kWarp];
  return ranks[threadIdx.x / kWarp];
}

__global__ void begin(const __grid_constant__ TopkRouteArgs a, Shared w, int batch) {
  if (threadIdx.x < 2 * kWords) w.in_union[threadIdx.x] = 0;
  __shared__ unsigned flags;
  if (threadIdx.x == 0) flags = 0;
  const StepPlan plan(a);
  __syncthreads();
  for (int e = threadIdx.x; e < a.router.experts; e += blockDim.x) {
    const unsigned own = flags_of(a, plan, e);
    if (own != 0) atomicOr(&flags, own);
    a.counts[std::int64_t{batch} * a.router.experts + e] = 0;
  }
  __syncthreads();
  if (threadIdx.x == 0) *w.flags = flags;
}

/// The token runs what it picked.
__device__ void run_picks(const TopkRouteArgs& a, const TokenPlace& at, const TokenState& s,
                          int batch, int lane) {
  write_picks(a, at, s, kEmpty, lane);
  if (a.order.first) return;
  std::int32_t* counts = a.counts + std::int64_t{batch} * a.router.experts;
  for (int n = lane; n < s.picked; n += kWarp) atomicAdd(counts + s.id[n], 1);
}

template <int kPlaces>
__global__ void pick_tokens(const __grid_constant__ TopkRouteArgs a, Shared w, int batch) {
  const int t = token_of_warp();
  const int lane = lane_of_thread();
  if (t >= a.tokens) return;
  const StepPlan plan(a);
  const int valid = plan.valid_tokens(a.tokens);
  const RouteFlags flags{*w.flags};
  if (t >= valid) return write_padding(a, std::int64_t{batch} * a.tokens + t, kEmpty, lane);
  write_sample(a, flags, t, lane);
  const TokenPlace at(a, plan, batch, t, valid);
  WarpToken<kPlaces> token(a, lane);
  token.set(flags);
  TokenState s = w.state(t);
  token.load(at.row);
  pick_unpriced(a, flags, at, token, ranks_of_warp<kPlaces>(), s);
  if (!flags.has(RouteFlags::kPriced)) return run_picks(a, at, s, batch, lane);
  if (lane == 0) w.scalars[t] = {s.picked, s.top_mass, s.highest, s.whole};
  for (int n = lane; n < s.picked; n += kWarp) {
    set_bit(w.in_union, s.id[n]);
    if (n < at.k_min) set_bit(w.active, s.id[n]);
  }
}

/// The keys by which a token picked.
template <int kPlaces>
__device__ void read_again(const TopkRouteArgs& a, RouteFlags flags, const TokenPlace& at,
                           WarpToken<kPlaces>& token, TokenState& s) {
  token.load(at.row);
  token.rank(s, ranks_of_warp<kPlaces>());
  if (flags.has(RouteFlags::kPlanBias)) token.lower_by_bias(s);
}

template <int kPlaces>
__global__ void find_losses(const __grid_constant__ TopkRouteArgs a, Shared w, int batch) {
  const int t = token_of_warp();
  const RouteFlags flags{*w.flags};
  const StepPlan plan(a);
  const int valid = plan.valid_tokens(a.tokens);
  if (t >= valid || !flags.has(RouteFlags::kPriced) || !flags.has(RouteFlags::kFinitePrice)) return;
  WarpToken<kPlaces> token(a, lane_of_thread());
  token.set(flags);
  TokenState s = w.saved(t);
  read_again(a, flags, TokenPlace(a, plan, batch, t, valid), token, s);
  token.recall_picks(s);
  token.find_losses([&](int e) { return has_bit(w.in_union, e); }, s);
}

/// Experts that are worth their price join those that are guaranteed; a warp an expert.
__global__ void add_worthy(const __grid_constant__ TopkRouteArgs a, Shared w) {
  const int e = token_of_warp();
  const int lane = lane_of_thread();
  const RouteFlags flags{*w.flags};
  if (e >= a.router.experts || !flags.has(RouteFlags::kPriced)) return;
  if (!flags.has(RouteFlags::kFinitePrice) || !has_bit(w.in_union, e)) return;
  const std::int64_t cells = std::int64_t{StepPlan(a).valid_tokens(a.tokens)} * w.kept;
  float loss = 0.0F;
  for (std::int64_t first = 0; first < cells; first += kWarp) {
    const std::int64_t i = first + lane;
    const bool hit = i < cells && i % w.kept < w.scalars[i / w.kept].picked && w.id[i] == e;
    const float lost = hit ? w.lost[i] : 0.0F;
    for (unsigned left = __ballot_sync(kAllLanes, hit); left != 0; left &= left - 1) {
      loss += __shfl_sync(kAllLanes, lost, __ffs(left) - 1);
    }
  }
  if (lane == 0 && loss >= a.plan.activation_price[e]) set_bit(w.active, e);
}

template <int kPlaces>
__global__ void pick_active(const __grid_constant__ TopkRouteArgs a, Shared w, int batch) {
  const int t = token_of_warp();
  const int lane = lane_of_thread();
  const RouteFlags flags{*w.flags};
  const StepPlan plan(a);
  const int valid = plan.valid_tokens(a.tokens);
  if (t >= valid || !flags.has(RouteFlags::kPriced)) return;
  const TokenPlace at(a, plan, batch, t, valid);
  TokenState s = w.saved(t);
  bool lost = false;
  for (int n = lane; n < s.picked; n += kWarp) lost |= !has_bit(w.active, s.id[n]);
  if (__any_sync(kAllLanes, lost)) {
    WarpToken<kPlaces> token(a, lane);
    token.set(flags);
    read_again(a, flags, at, token, s);
    token.pick(
        at.k, at.k, [&](int e) { return has_bit(w.active, e); }, s);
  }
  run_picks(a, at, s, batch, lane);
}

/// Of the batch whose picks were sorted.
__global__ void count(const __grid_constant__ TopkRouteArgs a) {
  for (int e = threadIdx.x; e < a.router.experts; e += blockDim.x) {
    a.counts[e] = a.order.first[e + 1] - a.order.first[e];
  }
}

/// The lowest id that runs, else 0; by a warp.
__device__ int lowest_of(const std::int32_t* counts, int experts, int lane) {
  unsigned lowest = experts;
  for (int e = lane; e < experts; e += kWarp) {
    if (counts[e] > 0) lowest = min(lowest, static_cast<unsigned>(e));
  }
  lowest = __reduce_min_sync(kAllLanes, lowest);
  return lowest < static_cast<unsigned>(experts) ? static_cast<int>(lowest) : 0;
}

__global__ void finish_rows(const __grid_constant__ TopkRouteArgs a, int batch) {
  const int t = token_of_warp();
  const int lane = lane_of_thread();
  if (t >= a.tokens) return;
  const std::int64_t row = std::int64_t{batch} * a.tokens + t;
  const std::int32_t* counts = a.counts + std::int64_t{batch} * a.router.experts;
  const bool without = a.fill_slots && a.expert[row * a.slots] < 0;
  const int lowest = without ? lowest_of(counts, a.router.experts, lane) : 0;
  finish_row(a, row, counts, lowest, lane);
}

template <int kPlaces>
void route(const TopkRouteArgs& a, const Shared& w, int batch, cudaStream_t stream) {
  const int blocks = (a.tokens + kWarps - 1) / kWarps;
  constexpr int kThreads = kWarps * kWarp;
  begin<<<1, 256, 0, stream>>>(a, w, batch);
  check_launch("topk_route, begin");
  if (blocks == 0) return;
  pick_tokens<kPlaces><<<blocks, kThreads, 0, stream>>>(a, w, batch);
  check_launch("topk_route, pick_tokens");
  if (!a.plan.activation_price) return;
  find_losses<kPlaces><<<blocks, kThreads, 0, stream>>>(a, w, batch);
  check_launch("topk_route, find_losses");
  const int expert_blocks = (a.router.experts + kWarps - 1) / kWarps;
  add_worthy<<<expert_blocks, kThreads, 0, stream>>>(a, w);
  check_launch("topk_route, add_worthy");
  pick_active<kPlaces><<<blocks, kThreads, 0, stream>>>(a, w, batch);
  check_launch("topk_route, pick_active");
}

void finish(const TopkRouteArgs& a, const Shared& w, int batch, Stream stream) {
  if (a.order.first) {
    const std::size_t room = order_by_expert_workspace(a.tokens, a.slots, a.router.experts);
    order_by_expert({.expert = a.expert,
                     .tokens = a.tokens,
                     .slots = a.slots,
                     .experts = a.router.experts,
                     .order = a.order,
                     .workspace = w.ordering,
                     .workspace_size = room},
                    stream);
    count<<<1, 256, 0, native(stream)>>>(a);
    check_launch("topk_route, count");
  }
  if (a.tokens == 0 || (!a.masked_logits && !a.fill_slots)) return;
  const int blocks = (a.tokens + kWarps - 1) / kWarps;
  finish_rows<<<blocks, kWarps * kWarp, 0, native(stream)>>>(a, batch);
  check_launch("topk_route, finish_rows");
}

}  // namespace

std::size_t route_many_workspace(const RouterView& router, int tokens, int slots) {
  const Shared at_zero(router, tokens, slots, nullptr);
  return reinterpret_cast<std::uintptr_t>(at_zero.ordering) +
         order_by_expert_workspace(tokens, slots, router.experts);
}

void route_many(const TopkRouteArgs& a, Stream stream) {
  const Shared w(a.router, a.tokens, a.slots, a.workspace);
  for (int batch = 0; batch < a.batches; ++batch) {
    with_places(a.router.experts,
                [&](auto places) { route<places.value>(a, w, batch, native(stream)); });
    finish(a, w, batch, stream);
  }
}

}  // namespace thermoe::cuda
