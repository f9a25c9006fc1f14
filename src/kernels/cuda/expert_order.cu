// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_order.h"

#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"

// A stable counting sort in three launches. A warp takes a chunk of picks, 32 at a time: lanes with
// the same expert find each other by a vote, so that their places follow from lane and chunk alone.
namespace thermoe::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 4;     // a block
constexpr int kChunk = 1024;  // picks of a warp

/// The workspace: before [experts, chunks], picks of an expert in a chunk, then in those before it;
/// total [experts].
struct Counts {
  std::int32_t* before;
  std::int32_t* total;
  int chunks;
};

__host__ __device__ int chunks_of(int picks) { return (picks + kChunk - 1) / kChunk; }

Counts counts_in(const OrderByExpertArgs& a) {
  const int chunks = chunks_of(a.tokens * a.slots);
  auto* before = reinterpret_cast<std::int32_t*>(a.workspace);
  return {.before = before, .total = before + std::int64_t{a.experts} * chunks, .chunks = chunks};
}

/// Calls visit(pick, expert, peers) for the picks of a chunk, a lane each; `peers` are the lanes
/// that hold the same expert, -1 in an empty slot. The warp is in step at each call.
template <class Visit>
__device__ void for_each_pick(const OrderByExpertArgs& a, int chunk, Visit visit) {
  const int start = chunk * kChunk;
  const int last = start + min(a.tokens * a.slots - start, kChunk);
  for (int first = start; first < last; first += kWarp) {
    const int pick = first + static_cast<int>(threadIdx.x);
    const int id = pick < last ? a.expert[pick] : -1;
    const int expert = id >= 0 && id < a.experts ? id : -1;
    visit(pick, expert, __match_any_sync(~0U, expert));
    __syncwarp();
  }
}

__device__ bool first_of(unsigned peers) {
  return __ffs(peers) - 1 == static_cast<int>(threadIdx.x);
}

__global__ void count_chunks(OrderByExpertArgs a, Counts counts) {
  extern __shared__ std::int32_t counters[];  // [kWarps, experts]
  std::int32_t* own = counters + threadIdx.y * a.experts;
  const int chunk = blockIdx.x * kWarps + threadIdx.y;
  if (chunk >= counts.chunks) return;
  for (int e = threadIdx.x; e < a.experts; e += kWarp) own[e] = 0;
  __syncwarp();
  for_each_pick(a, chunk, [&](int, int expert, unsigned peers) {
    if (expert >= 0 && first_of(peers)) own[expert] += __popc(peers);
  });
  for (int e = threadIdx.x; e < a.experts; e += kWarp) {
    counts.before[std::int64_t{e} * counts.chunks + chunk] = own[e];
  }
}

/// Replaces counts[0..n) by the sums of those before each; a warp. Returns the sum of all.
__device__ std::int32_t scan(std::int32_t* counts, int n) {
  std::int32_t carried = 0;
  for (int first = 0; first < n; first += kWarp) {
    const int i = first + static_cast<int>(threadIdx.x);
    const std::int32_t own = i < n ? counts[i] : 0;
    std::int32_t sum = own;
    for (int lanes = 1; lanes < kWarp; lanes *= 2) {
      const std::int32_t other = __shfl_up_sync(~0U, sum, lanes);
      if (static_cast<int>(threadIdx.x) >= lanes) sum += other;
    }
    if (i < n) counts[i] = carried + sum - own;
    carried += __shfl_sync(~0U, sum, kWarp - 1);
  }
  return carried;
}

__global__ void scan_chunks(OrderByExpertArgs a, Counts counts) {
  const int expert = blockIdx.x * kWarps + threadIdx.y;
  if (expert >= a.experts) return;
  const std::int32_t total =
      scan(counts.before + std::int64_t{expert} * counts.chunks, counts.chunks);
  if (threadIdx.x == 0) counts.total[expert] = total;
}

__global__ void place_picks(OrderByExpertArgs a, Counts counts) {
  extern __shared__ std::int32_t shared[];  // starts [experts], then next [kWarps, experts]
  std::int32_t* starts = shared;
  if (threadIdx.y == 0) {
    for (int e = threadIdx.x; e < a.experts; e += kWarp) starts[e] = counts.total[e];
    __syncwarp();
    const std::int32_t filled = scan(starts, a.experts);
    __syncwarp();
    if (blockIdx.x == 0) {
      for (int e = threadIdx.x; e < a.experts; e += kWarp) a.order.first[e] = starts[e];
      if (threadIdx.x == 0) a.order.first[a.experts] = filled;
    }
  }
  __syncthreads();
  const int chunk = blockIdx.x * kWarps + threadIdx.y;
  if (chunk >= counts.chunks) return;
  std::int32_t* next = starts + (threadIdx.y + 1) * a.experts;
  for (int e = threadIdx.x; e < a.experts; e += kWarp) {
    next[e] = starts[e] + counts.before[std::int64_t{e} * counts.chunks + chunk];
  }
  __syncwarp();
  for_each_pick(a, chunk, [&](int pick, int expert, unsigned peers) {
    const std::int32_t start = expert >= 0 ? next[expert] : 0;
    __syncwarp();  // all have read before one writes
    if (expert < 0) return;
    a.order.pair[start + __popc(peers & ((1U << threadIdx.x) - 1U))] = pick;
    if (first_of(peers)) next[expert] = start + __popc(peers);
  });
}

}  // namespace

std::size_t order_by_expert_workspace(int tokens, int slots, int experts) {
  const auto cells = static_cast<std::size_t>(experts) * (chunks_of(tokens * slots) + 1);
  return cells * sizeof(std::int32_t);
}

void order_by_expert(const OrderByExpertArgs& a, Stream stream) {
  const Counts counts = counts_in(a);
  const dim3 block(kWarp, kWarps);
  const auto blocks = [](int warps) { return (warps + kWarps - 1) / kWarps; };
  const std::size_t row = a.experts * sizeof(std::int32_t);
  // Without picks there are no chunks, and still everything starts at 0.
  if (counts.chunks > 0) {
    count_chunks<<<blocks(counts.chunks), block, kWarps * row, native(stream)>>>(a, counts);
    check_launch("count_chunks");
  }
  scan_chunks<<<blocks(a.experts), block, 0, native(stream)>>>(a, counts);
  check_launch("scan_chunks");
  place_picks<<<blocks(max(counts.chunks, 1)), block, (kWarps + 1) * row, native(stream)>>>(a,
                                                                                            counts);
  check_launch("place_picks");
}

}  // namespace thermoe::cuda
