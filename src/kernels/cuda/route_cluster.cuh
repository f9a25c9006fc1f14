// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cooperative_groups.h>

#include <algorithm>

#include "kernels/cuda/route_token.cuh"

// What the blocks of a cluster share when they route a decode batch together: each has some of the
// tokens, and some of the experts, whose sets and losses the others write in its shared memory.
// Before compute capability 9.0 a cluster is one block.
namespace thermoe::cuda {

/// How a batch is divided. Block r has the tokens r, r + blocks, … and the experts from
/// r << own_shift on.
struct ClusterShape {
  static constexpr int kMostBlocks = 8;

  int blocks = 1;  ///< 1 << block_shift
  int block_shift = 0;
  int warps = 1;       ///< a block
  int own_tokens = 0;  ///< of a block, at most
  int own_shift = 0;   ///< it has 1 << own_shift experts

  /// Up to 16 tokens are faster in one block than by what blocks have to tell each other.
  static ClusterShape of(const RouterView& router, int tokens, int most_blocks, int most_warps) {
    ClusterShape c;
    while (c.blocks < most_blocks && tokens > std::min(16, most_warps) * c.blocks)
      c.blocks = 1 << ++c.block_shift;
    c.own_tokens = (tokens + c.blocks - 1) / c.blocks;
    while (c.blocks << c.own_shift < router.experts) ++c.own_shift;
    const int expert_warps = ((1 << c.own_shift) + kWarp - 1) / kWarp;
    c.warps = std::min(std::max({c.own_tokens, expert_warps, 1}), most_warps);
    return c;
  }
  __host__ __device__ int own_experts() const { return 1 << own_shift; }
  __device__ int owner(int expert) const { return expert >> own_shift; }
  __device__ int own_index(int expert) const { return expert & (own_experts() - 1); }
};

/// `here` of this block, in another block of the cluster.
template <class T>
__device__ T* in_block(T* here, int block) {
#if __CUDA_ARCH__ >= 900
  return cooperative_groups::this_cluster().map_shared_rank(here, block);
#else
  return here;
#endif
}

/// The two halves of a barrier of all the cluster's threads.
__device__ inline void arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ inline void wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ inline void meet(const ClusterShape& c) {
  if (c.blocks == 1) return __syncthreads();
  arrive();
  wait();
}

/// Which tokens of a batch of up to 64 have an expert of this block: two words an expert.
struct TokenSets {
  unsigned* words;  ///< [own experts, 2]

  __device__ bool any(int own) const { return (words[2 * own] | words[2 * own + 1]) != 0; }
  __device__ int count(int own) const {
    return __popc(words[2 * own]) + __popc(words[2 * own + 1]);
  }
};

/// The shared memory of a block.
struct BlockMemory {
  __host__ __device__ BlockMemory(const RouterView& router, int batch_tokens, int slots,
                                  const ClusterShape& cluster)
      : c(cluster),
        tokens(batch_tokens),
        experts(router.experts),
        kept(router.k > slots ? router.k : slots),
        grouped(router.groups_kept < router.groups) {}

  ClusterShape c;
  int tokens;
  int experts;
  int kept;
  bool grouped;

  __host__ __device__ int words() const { return (experts + 31) / 32; }
  __host__ __device__ int cleared() const { return 4 * c.own_experts() + 4 * words() + 2; }
  __host__ __device__ int cells() const { return c.own_tokens * kept; }
  __host__ __device__ std::size_t size() const {
    const std::size_t values = cleared() + c.own_experts() + 2 * experts + 1 + 3 * cells() +
                               c.own_experts() * tokens + (grouped ? c.warps * experts : 0);
    return 4 * values;
  }
};

/// Everything that the warps of a block share, and other blocks write where it says so.
struct Block {
  __device__ Block(const BlockMemory& m, unsigned* shared)
      : picked{shared},
        runs{picked.words + 2 * m.c.own_experts()},
        in_union(runs.words + 2 * m.c.own_experts()),
        active(in_union + m.words()),
        all_in_union(active + m.words()),
        all_active(all_in_union + m.words()),
        flags(all_active + m.words()),
        depth(flags + 1),
        own_counts(reinterpret_cast<std::int32_t*>(depth + 1)),
        counts(own_counts + m.c.own_experts()),
        first(counts + m.experts),
        id(first + m.experts + 1),
        mass(reinterpret_cast<float*>(id + m.cells())),
        lost(mass + m.cells()),
        lost_of(lost + m.cells()),
        ranks(lost_of + m.c.own_experts() * m.tokens) {}

  TokenSets picked;        ///< before prices; by all blocks
  TokenSets runs;          ///< in the end; by all blocks
  unsigned* in_union;      ///< [words] bits of experts that own tokens picked
  unsigned* active;        ///< [words] guaranteed by own tokens, and own experts worth their price
  unsigned* all_in_union;  ///< [words] of all blocks: U
  unsigned* all_active;    ///< [words] of all blocks
  unsigned* flags;         ///< RouteFlags of all experts
  unsigned* depth;  ///< experts less the lowest id that runs; 0 while none does; by all blocks
  std::int32_t* own_counts;  ///< [own experts]
  std::int32_t* counts;      ///< [experts]
  std::int32_t* first;       ///< [experts + 1]
  std::int32_t* id;          ///< [own tokens, kept]
  float* mass;
  float* lost;
  float* lost_of;  ///< [own experts, tokens], where `picked` has the pair; by all blocks
  float* ranks;    ///< [warps, experts]
};

__device__ inline bool has(const unsigned* bits, int e) {
  return (bits[e / 32] >> e % 32 & 1U) != 0;
}

/// Token t has expert e: in the sets of the expert's block.
__device__ inline void add(const TokenSets& sets, const ClusterShape& c, int e, int t) {
  unsigned* words = in_block(sets.words, c.owner(e)) + 2 * c.own_index(e);
  atomicOr(words + t / 32, 1U << t % 32);
}

/// Tokens before t that run expert e.
__device__ inline int runs_before(const Block& b, const ClusterShape& c, int e, int t) {
  const unsigned* words = in_block(b.runs.words, c.owner(e)) + 2 * c.own_index(e);
  const unsigned below = (1U << t % 32) - 1U;
  return t < 32 ? __popc(words[0] & below) : __popc(words[0]) + __popc(words[1] & below);
}

/// A token runs its picks: the lowest id that runs is none above theirs. By one warp.
__device__ inline void lower(const BlockMemory& m, const Block& b, const std::int32_t* id,
                             int picked, int lane) {
  unsigned depth = 0;
#pragma unroll 1
  for (int n = lane; n < picked; n += kWarp) {
    depth = max(depth, static_cast<unsigned>(m.experts - id[n]));
  }
  depth = __reduce_max_sync(kAllLanes, depth);
  if (lane < m.c.blocks) atomicMax(in_block(b.depth, lane), depth);
}

/// The lowest id that runs, else 0.
__device__ inline std::int32_t lowest(const BlockMemory& m, const Block& b) {
  return *b.depth == 0 ? 0 : m.experts - static_cast<std::int32_t>(*b.depth);
}

/// `all` = the bits that any block of the cluster has in `bits`, which must be complete. By all
/// threads.
__device__ inline void gather(const BlockMemory& m, unsigned* bits, unsigned* all) {
#pragma unroll 1
  for (int i = threadIdx.x; i < m.words() * m.c.blocks; i += blockDim.x) {
    const unsigned others = in_block(bits, i & (m.c.blocks - 1))[i >> m.c.block_shift];
    if (others != 0) atomicOr(all + (i >> m.c.block_shift), others);
  }
  __syncthreads();
}

}  // namespace thermoe::cuda
