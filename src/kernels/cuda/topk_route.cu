// SPDX-License-Identifier: Apache-2.0
#include "kernels/topk_route.h"

#include <algorithm>

#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/route_cluster.cuh"
#include "kernels/cuda/route_many.h"
#include "kernels/cuda/route_outputs.cuh"

// One cluster of blocks routes a decode batch of up to 64 tokens: the sets of the pricing rule are
// bits in its shared memory, and one thread an expert sums losses in token order. Larger batches,
// or picks, take a launch for each step of the rule (route_many.cu).
namespace thermoe::cuda {
namespace {

/// The flags that any expert sets; all threads take part.
__device__ RouteFlags find_flags(const TopkRouteArgs& a, const StepPlan& plan, const Block& b) {
  unsigned flags = 0;
#pragma unroll 1
  for (int e = threadIdx.x; e < a.router.experts; e += blockDim.x) flags |= flags_of(a, plan, e);
  flags = __reduce_or_sync(kAllLanes, flags);
  if (threadIdx.x % kWarp == 0 && flags != 0) atomicOr(b.flags, flags);
  __syncthreads();
  return {*b.flags};
}

/// Own experts that are worth their price join those that are guaranteed.
__device__ void add_worthy(const TopkRouteArgs& a, const BlockMemory& m, const Block& b, int rank) {
#pragma unroll 1
  for (int own = threadIdx.x; own < m.c.own_experts(); own += blockDim.x) {
    if (!b.picked.any(own)) continue;
    float loss = 0.0F;
#pragma unroll 1
    for (int w = 0; w < 2; ++w) {
#pragma unroll 1
      for (unsigned left = b.picked.words[2 * own + w]; left != 0; left &= left - 1) {
        loss += b.lost_of[own * m.tokens + w * 32 + __ffs(left) - 1];
      }
    }
    const int e = (rank << m.c.own_shift) + own;
    if (loss >= a.plan.activation_price[e]) atomicOr(b.active + e / 32, 1U << e % 32);
  }
}

__device__ void count(const TopkRouteArgs& a, const BlockMemory& m, const Block& b, int batch,
                      int rank) {
#pragma unroll 1
  for (int own = threadIdx.x; own < m.c.own_experts(); own += blockDim.x) {
    const int e = (rank << m.c.own_shift) + own;
    b.own_counts[own] = b.runs.count(own);
    if (e < m.experts) a.counts[std::int64_t{batch} * m.experts + e] = b.own_counts[own];
  }
}

/// Where each expert's picks begin; by the first warp.
__device__ void scan_counts(const TopkRouteArgs& a, const BlockMemory& m, const Block& b, int rank,
                            int lane) {
  const int each = (m.experts + kWarp - 1) / kWarp;
  int sum = 0;
#pragma unroll 1
  for (int i = 0; i < each; ++i) {
    const int e = lane * each + i;
    if (e < m.experts) sum += b.counts[e];
  }
  int before = sum;
  for (int lanes = 1; lanes < kWarp; lanes *= 2) {
    const int other = __shfl_up_sync(kAllLanes, before, lanes);
    if (lane >= lanes) before += other;
  }
  if (lane == kWarp - 1) b.first[m.experts] = before;
  before -= sum;
#pragma unroll 1
  for (int i = 0; i < each; ++i) {
    const int e = lane * each + i;
    if (e >= m.experts) break;
    b.first[e] = before;
    before += b.counts[e];
  }
  __syncwarp();
  if (rank != 0) return;
#pragma unroll 1
  for (int e = lane; e <= m.experts; e += kWarp) a.order.first[e] = b.first[e];
}

/// What needs the counts of all experts.
__device__ void finish(const TopkRouteArgs& a, const BlockMemory& m, const Block& b, int batch,
                       int rank, int valid) {
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
#pragma unroll 1
  for (int e = threadIdx.x; e < m.experts; e += blockDim.x) {
    b.counts[e] = in_block(b.own_counts, m.c.owner(e))[m.c.own_index(e)];
  }
  __syncthreads();
  if (a.order.first && warp == 0) scan_counts(a, m, b, rank, lane);
  int lowest = 0;
  if (a.fill_slots) {
#pragma unroll 1
    while (lowest < m.experts && b.counts[lowest] == 0) ++lowest;
    if (lowest == m.experts) lowest = 0;
  }
  __syncthreads();
#pragma unroll 1
  for (int t = warp * m.c.blocks + rank; t < a.tokens; t += m.c.warps * m.c.blocks) {
    const std::int64_t row = std::int64_t{batch} * a.tokens + t;
    if (a.order.first && t < valid) {
#pragma unroll 1
      for (int n = lane; n < a.slots; n += kWarp) {
        const int e = a.expert[row * a.slots + n];
        if (e >= 0) a.order.pair[b.first[e] + runs_before(b, m.c, e, t)] = t * a.slots + n;
      }
      __syncwarp();
    }
    finish_row(a, row, b.counts, lowest, lane);
  }
}

/// The steps of the rule that each token takes part in.
enum Step { kPick, kLose, kRefill };

/// More registers a thread where a lane holds more experts.
constexpr int kFewPlaces = 8;
template <int kPlaces>
constexpr int kMostWarps = kPlaces <= kFewPlaces ? 16 : 8;

template <int kPlaces, bool kPlain>
__global__ void __launch_bounds__(kMostWarps<kPlaces>* kWarp)
    route_batch(const __grid_constant__ TopkRouteArgs a, const __grid_constant__ ClusterShape c) {
  extern __shared__ unsigned shared[];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int batch = blockIdx.x >> c.block_shift;
  const int rank = blockIdx.x & (c.blocks - 1);
  const BlockMemory m(a.router, a.tokens, a.slots, c);
  const Block b(m, shared);
  let_next_start();
#pragma unroll 1
  for (int i = threadIdx.x; i < m.cleared(); i += blockDim.x) shared[i] = 0;
  __syncthreads();             // find_flags writes what another warp clears
  if (c.blocks > 1) arrive();  // what others write here is cleared
  wait_for_previous();

  // A warp's only token stays in its registers from step to step; a batch of more tokens than warps
  // picks again what it had. All that a first pick reads is asked for before anything is waited
  // for.
  const int stride = c.warps * c.blocks;
  const int own = warp * c.blocks + rank;
  WarpToken<kPlaces, kPlain> token(a, lane);
  if (own < a.tokens) token.load(std::int64_t{batch} * a.tokens + own);
  const StepPlan plan(a);
  const RouteFlags flags = find_flags(a, plan, b);
  if (c.blocks > 1) wait();
  token.set(flags);
  const int valid = plan.valid_tokens(a.tokens);
  const bool held = valid <= stride;
  // Order and masked logits know picks by their slots, so that these are filled behind them.
  const bool fills = a.fill_slots && held && !a.order.first && !a.masked_logits;
  TokenPlace at(a, plan, batch, own, valid);
  const bool priced = flags.has(RouteFlags::kPriced);
  const bool losses = priced && flags.has(RouteFlags::kFinitePrice);
  TokenState s{};

#pragma unroll 1
  for (int step = kPick; step <= kRefill; ++step) {
    if (step == kLose && !losses) continue;
    if (step == kRefill && !priced) break;
#pragma unroll 1
    for (int t = own; t < valid; t += stride) {
      const int cell = (t >> c.block_shift) * m.kept;
      s.id = b.id + cell;
      s.mass = b.mass + cell;
      s.lost = b.lost + cell;
      // Read anew: kept, plan and step would take the registers of those that hold their token.
      if (!held) at = TokenPlace(a, StepPlan(a), batch, t, valid);
      if (!held) token.load(at.row);
      if (!held || step == kPick) pick_unpriced(a, flags, at, token, b.ranks + warp * m.experts, s);
      if (step == kPick && priced) {
#pragma unroll 1
        for (int n = lane; n < s.picked; n += kWarp) {
          const int e = s.id[n];
          atomicOr(b.in_union + e / 32, 1U << e % 32);
          if (n < at.k_min) atomicOr(b.active + e / 32, 1U << e % 32);
        }
      } else if (step == kLose) {
        token.find_losses([&](int e) { return has(b.all_in_union, e); }, s);
#pragma unroll 1
        for (int n = lane; n < s.picked; n += kWarp) {
          const int e = s.id[n];
          add(b.picked, c, e, t);
          in_block(b.lost_of, c.owner(e))[c.own_index(e) * m.tokens + t] = s.lost[n];
        }
      } else {
        bool gone = false;
#pragma unroll 1
        for (int n = lane; n < s.picked; n += kWarp) gone |= priced && !has(b.all_active, s.id[n]);
        if (__any_sync(kAllLanes, gone)) {
          token.pick(
              at.k, at.k, [&](int e) { return has(b.all_active, e); }, s);
        }
#pragma unroll 1
        for (int n = lane; n < s.picked; n += kWarp) add(b.runs, c, s.id[n], t);
        if (fills) lower(m, b, s.id, s.picked, lane);
        if (!held) write_picks(a, at, s, kEmpty, lane);
      }
    }
    meet(c);
    if (step == kPick && losses) gather(m, b.in_union, b.all_in_union);
    if (step == kLose) {
      add_worthy(a, m, b, rank);
      meet(c);
    }
    if (step == kLose || (step == kPick && priced && !losses)) gather(m, b.active, b.all_active);
  }

  // A barrier would wait for these to reach memory.
  const std::int32_t without = fills ? lowest(m, b) : kEmpty;
  if (held && own < valid) write_picks(a, at, s, without, lane);
#pragma unroll 1
  for (int t = own; t < a.tokens; t += stride) {
    if (t >= valid) write_padding(a, std::int64_t{batch} * a.tokens + t, without, lane);
  }
  count(a, m, b, batch, rank);
#pragma unroll 1
  for (int t = own; t < valid; t += stride) write_sample(a, flags, t, lane);
  if (!a.order.first && !a.masked_logits && (!a.fill_slots || fills)) return;
  meet(c);
  finish(a, m, b, batch, rank, valid);
  if (c.blocks > 1) meet(c);  // others may still read here
}

constexpr int kMostTokens = 64;
constexpr int kMostKept = 255;
constexpr std::size_t kMostShared = 200 << 10;

int compute_capability() { return device_attribute(cudaDevAttrComputeCapabilityMajor); }

ClusterShape shape_of(const RouterView& router, int tokens, int capability) {
  const int most_blocks = capability >= 9 ? ClusterShape::kMostBlocks : 1;
  return ClusterShape::of(router, tokens, most_blocks,
                          router.experts <= 32 * kFewPlaces ? kMostWarps<1> : kMostWarps<32>);
}

bool fits_in_cluster(const RouterView& router, int tokens, int slots, const ClusterShape& c) {
  return tokens <= kMostTokens && std::max(slots, router.k) <= kMostKept &&
         BlockMemory(router, tokens, slots, c).size() <= kMostShared;
}

template <int kPlaces, bool kPlain>
void launch(const TopkRouteArgs& a, const ClusterShape& c, int capability, Stream stream) {
  const std::size_t size = BlockMemory(a.router, a.tokens, a.slots, c).size();
  const auto kernel = route_batch<kPlaces, kPlain>;
  if (size > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(size)),
          "cudaFuncSetAttribute");
  }
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(c.blocks), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(a.batches * c.blocks));
  config.blockDim = dim3(static_cast<unsigned>(c.warps * kWarp));
  config.dynamicSmemBytes = size;
  config.stream = native(stream);
  config.attrs = attributes;
  config.numAttrs = capability >= 9 ? 2 : 0;
  check(cudaLaunchKernelEx(&config, kernel, a, c), "topk_route");
}

}  // namespace

std::size_t topk_route_workspace(const RouterView& router, int tokens, int slots) {
  const ClusterShape c = shape_of(router, std::min(tokens, kMostTokens), compute_capability());
  return fits_in_cluster(router, tokens, slots, c) ? 0
                                                   : route_many_workspace(router, tokens, slots);
}

void topk_route(const TopkRouteArgs& a, Stream stream) {
  if (a.batches == 0) return;
  const int capability = compute_capability();
  const ClusterShape c = shape_of(a.router, std::min(a.tokens, kMostTokens), capability);
  if (!fits_in_cluster(a.router, a.tokens, a.slots, c)) return route_many(a, stream);
  with_places(a.router.experts, [&](auto places) {
    if (is_plain(a.router)) return launch<places.value, true>(a, c, capability, stream);
    launch<places.value, false>(a, c, capability, stream);
  });
}

}  // namespace thermoe::cuda
