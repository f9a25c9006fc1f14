// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>

#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/route_many.h"
#include "kernels/cuda/route_token.cuh"

// One block routes a decode batch of up to 64 tokens: the sets of the pricing rule are bits in its
// shared memory, and one thread an expert sums losses in token order. Larger batches, or picks,
// take a launch for each step of the rule (route_many.cu).
namespace thermoe::cuda {
namespace {

/// Shared memory of a block, by tokens of the batch.
struct BlockMemory {
  __host__ __device__ BlockMemory(const RouterView& router, int batch_tokens, int slots,
                                  int block_warps)
      : tokens(batch_tokens),
        experts(router.experts),
        kept(router.k > slots ? router.k : slots),
        warps(block_warps),
        grouped(router.groups_kept < router.groups) {}

  int tokens;
  int experts;
  int kept;
  int warps;
  bool grouped;

  __host__ __device__ int words() const { return (experts + 31) / 32; }
  __host__ __device__ std::size_t size() const {
    const std::size_t cells = static_cast<std::size_t>(tokens) * kept;
    const std::size_t values = 4 * experts + words() + 1 + experts + 1 + experts + 3 * cells +
                               (grouped ? static_cast<std::size_t>(warps) * experts : 0);
    return values * 4 + static_cast<std::size_t>(tokens) * experts;
  }
};

/// Which tokens of a batch of up to 64 have an expert: two words an expert.
struct TokenSets {
  unsigned* words;  ///< [experts, 2]

  __device__ void add(int expert, int token) const {
    atomicOr(words + 2 * expert + token / 32, 1U << token % 32);
  }
  __device__ bool any(int expert) const { return (words[2 * expert] | words[2 * expert + 1]) != 0; }
  __device__ int count(int expert) const {
    return __popc(words[2 * expert]) + __popc(words[2 * expert + 1]);
  }
  /// Tokens before `token` that have the expert.
  __device__ int before(int expert, int token) const {
    const unsigned below = (1U << token % 32) - 1U;
    if (token < 32) return __popc(words[2 * expert] & below);
    return __popc(words[2 * expert]) + __popc(words[2 * expert + 1] & below);
  }
};

/// Everything that the warps of a block share.
struct Block {
  __device__ Block(const BlockMemory& m, unsigned* shared)
      : picked{shared},
        runs{shared + 2 * m.experts},
        active(shared + 4 * m.experts),
        flags(active + m.words()),
        first(reinterpret_cast<std::int32_t*>(flags + 1)),
        counts(first + m.experts + 1),
        id(counts + m.experts),
        mass(reinterpret_cast<float*>(id + m.tokens * m.kept)),
        lost(mass + m.tokens * m.kept),
        ranks(lost + m.tokens * m.kept),
        slot_of(reinterpret_cast<std::uint8_t*>(ranks + (m.grouped ? m.warps * m.experts : 0))) {}

  TokenSets picked;      ///< before prices; non-empty: U
  TokenSets runs;        ///< in the end
  unsigned* active;      ///< [words] bits of experts
  unsigned* flags;       ///< RouteFlags of all experts
  std::int32_t* first;   ///< [experts + 1]
  std::int32_t* counts;  ///< [experts]
  std::int32_t* id;      ///< [tokens, kept]
  float* mass;
  float* lost;
  float* ranks;           ///< [warps, experts]
  std::uint8_t* slot_of;  ///< [tokens, experts], where `picked` has the pair

  __device__ bool is_active(int e) const { return (active[e / 32] >> e % 32 & 1U) != 0; }
};

__device__ void clear(const TopkRouteArgs& a, const BlockMemory& m, const Block& b) {
  const int words = 4 * m.experts + m.words() + 1;  // sets, active and flags
  for (int i = threadIdx.x; i < words; i += blockDim.x) b.picked.words[i] = 0;
  __syncthreads();
  unsigned flags = 0;
  for (int e = threadIdx.x; e < m.experts; e += blockDim.x) flags |= flags_of(a, e);
  flags = __reduce_or_sync(kAllLanes, flags);
  if (threadIdx.x % kWarp == 0 && flags != 0) atomicOr(b.flags, flags);
  __syncthreads();
}

/// Experts that are worth their price join those that are guaranteed.
__device__ void add_worthy(const TopkRouteArgs& a, const BlockMemory& m, const Block& b) {
  for (int e = threadIdx.x; e < m.experts; e += blockDim.x) {
    if (!b.picked.any(e)) continue;
    float loss = 0.0F;
    for (int w = 0; w < 2; ++w) {
      for (unsigned left = b.picked.words[2 * e + w]; left != 0; left &= left - 1) {
        const int t = w * 32 + __ffs(left) - 1;
        loss += b.lost[t * m.kept + b.slot_of[t * m.experts + e]];
      }
    }
    if (loss >= a.plan.activation_price[e]) atomicOr(b.active + e / 32, 1U << e % 32);
  }
}

/// Counts, and where each expert's picks begin; by all threads, the scan by the first warp.
__device__ void count(const TopkRouteArgs& a, const BlockMemory& m, const Block& b, int batch) {
  for (int e = threadIdx.x; e < m.experts; e += blockDim.x) {
    b.counts[e] = b.runs.count(e);
    a.counts[std::int64_t{batch} * m.experts + e] = b.counts[e];
  }
  __syncthreads();
  if (!a.order.first || threadIdx.x >= kWarp) return;
  const int lane = threadIdx.x;
  const int each = (m.experts + kWarp - 1) / kWarp;
  int sum = 0;
  for (int i = 0; i < each; ++i) {
    const int e = lane * each + i;
    if (e < m.experts) sum += b.counts[e];
  }
  int before = sum;
  for (int lanes = 1; lanes < kWarp; lanes *= 2) {
    const int other = __shfl_up_sync(kAllLanes, before, lanes);
    if (lane >= lanes) before += other;
  }
  if (lane == kWarp - 1) b.first[m.experts] = a.order.first[m.experts] = before;
  before -= sum;
  for (int i = 0; i < each; ++i) {
    const int e = lane * each + i;
    if (e >= m.experts) break;
    b.first[e] = a.order.first[e] = before;
    before += b.counts[e];
  }
}

/// More registers a thread where a lane holds more experts.
constexpr int kFewPlaces = 8;
template <int kPlaces>
constexpr int kMostWarps = kPlaces <= kFewPlaces ? 32 : 8;

template <int kPlaces>
__global__ void __launch_bounds__(kMostWarps<kPlaces>* kWarp)
    route_batch(const __grid_constant__ TopkRouteArgs a) {
  extern __shared__ unsigned shared[];
  const int warps = blockDim.x / kWarp;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int batch = blockIdx.x;
  const BlockMemory m(a.router, a.tokens, a.slots, warps);
  const Block b(m, shared);
  clear(a, m, b);
  const RouteFlags flags{*b.flags};
  const bool priced = flags.has(RouteFlags::kPriced);
  const bool losses = priced && flags.has(RouteFlags::kFinitePrice);
  const int valid = valid_tokens(a);
  float* ranks = b.ranks + warp * m.experts;

  WarpToken<kPlaces> token(a, flags, lane);
  TokenState s{};
  const auto state_of = [&](int t) {
    s.id = b.id + t * m.kept;
    s.mass = b.mass + t * m.kept;
    s.lost = b.lost + t * m.kept;
  };
  // A warp's last token is still in its registers when the next step comes to it; a batch of more
  // tokens than warps picks again what it had.
  const bool held = valid <= warps;
  const auto pick_again = [&](int t) {
    state_of(t);
    if (!held) pick_unpriced(a, flags, TokenPlace(a, batch, t, valid), token, ranks, s);
  };

  for (int t = warp; t < valid; t += warps) {
    const TokenPlace at(a, batch, t, valid);
    state_of(t);
    pick_unpriced(a, flags, at, token, ranks, s);
    for (int n = lane; n < s.picked; n += kWarp) {
      const int e = s.id[n];
      if (priced) {
        b.picked.add(e, t);
        b.slot_of[t * m.experts + e] = static_cast<std::uint8_t>(n);
        if (n < at.k_min) atomicOr(b.active + e / 32, 1U << e % 32);
      } else {
        b.runs.add(e, t);
      }
    }
    if (!priced) write_picks(a, at, s, lane);
  }
  __syncthreads();

  if (losses) {
    for (int t = warp; t < valid; t += warps) {
      pick_again(t);
      token.find_losses([&](int e) { return b.picked.any(e); }, s);
    }
    __syncthreads();
    add_worthy(a, m, b);
    __syncthreads();
  }
  if (priced) {
    for (int t = warp; t < valid; t += warps) {
      const TokenPlace at(a, batch, t, valid);
      pick_again(t);
      bool lost = false;
      for (int n = lane; n < s.picked; n += kWarp) lost |= !b.is_active(s.id[n]);
      if (__any_sync(kAllLanes, lost)) {
        token.pick(
            at.k, [&](int e) { return b.is_active(e); }, s);
      }
      for (int n = lane; n < s.picked; n += kWarp) b.runs.add(s.id[n], t);
      write_picks(a, at, s, lane);
    }
    __syncthreads();
  }

  for (int t = valid + warp; t < a.tokens; t += warps) {
    write_padding(a, std::int64_t{batch} * a.tokens + t, lane);
  }
  count(a, m, b, batch);
  if (!a.order.first && !a.masked_logits && !a.fill_slots) return;
  __syncthreads();
  int lowest = 0;
  if (a.fill_slots) {
    while (lowest < m.experts && b.counts[lowest] == 0) ++lowest;
    if (lowest == m.experts) lowest = 0;
  }
  for (int t = warp; t < a.tokens; t += warps) {
    const std::int64_t row = std::int64_t{batch} * a.tokens + t;
    if (a.order.first && t < valid) {
      for (int n = lane; n < a.slots; n += kWarp) {
        const int e = a.expert[row * a.slots + n];
        if (e >= 0) a.order.pair[b.first[e] + b.runs.before(e, t)] = t * a.slots + n;
      }
      __syncwarp();
    }
    finish_row(a, row, b.counts, lowest, lane);
  }
}

constexpr int kMostTokens = 64;
constexpr int kMostKept = 255;  // a slot is a byte
constexpr std::size_t kMostShared = 200 << 10;

int warps_for(const RouterView& router, int tokens) {
  const int wanted = std::max({tokens, (router.experts + kWarp - 1) / kWarp, 1});
  return std::min(wanted, router.experts <= 32 * kFewPlaces ? kMostWarps<1> : kMostWarps<32>);
}

bool fits_in_block(const RouterView& router, int tokens, int slots) {
  if (tokens > kMostTokens || std::max(slots, router.k) > kMostKept) return false;
  return BlockMemory(router, tokens, slots, warps_for(router, tokens)).size() <= kMostShared;
}

template <int kPlaces>
void launch(const TopkRouteArgs& a, Stream stream) {
  const int warps = warps_for(a.router, a.tokens);
  const std::size_t size = BlockMemory(a.router, a.tokens, a.slots, warps).size();
  if (size > 48 << 10) {
    check(cudaFuncSetAttribute(route_batch<kPlaces>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(size)),
          "cudaFuncSetAttribute");
  }
  route_batch<kPlaces><<<a.batches, warps * kWarp, size, native(stream)>>>(a);
  check_launch("topk_route");
}

}  // namespace

std::size_t topk_route_workspace(const RouterView& router, int tokens, int slots) {
  return fits_in_block(router, tokens, slots) ? 0 : route_many_workspace(router, tokens, slots);
}

void topk_route(const TopkRouteArgs& a, Stream stream) {
  if (a.batches == 0) return;
  if (!fits_in_block(a.router, a.tokens, a.slots)) return route_many(a, stream);
  with_places(a.router.experts, [&](auto places) { launch<places.value>(a, stream); });
}

}  // namespace thermoe::cuda
