// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/backends.h"
#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/int4_sums.cuh"
#include "kernels/cuda/int4_unit.cuh"

// One block a multiprocessor, each with a range of panels. A block keeps x in shared memory; its
// warps read weights from device memory through rings of their own, several units ahead. A block
// works off `columns` panels at a time, each by `slices` warps: slice s adds the units s, s +
// slices,
// ... of the inputs, and the slices' sums are added in order, so that a token's result depends
// neither on the other tokens nor on timing.
namespace thermoe::cuda {
namespace {

constexpr int kMostWarps = 16;

template <int kMatrices>
struct LinearCall {
  const uint4* x;  // octets [tokens, inputs / 8]
  int tokens;
  int inputs;
  int outputs;
  Int4Matrix weights[kMatrices];  // then the second one of kSiluMul
  const float* bias[kMatrices];
  Epilogue epilogue;
  void* out;
  FloatType out_type;
  int columns = 0;
  int slices = 0;
  int chunk_units = 0;  // units whose x is in shared memory together

  __host__ __device__ int warps() const { return columns * slices; }
  __host__ __device__ int units() const { return (inputs + kUnit - 1) / kUnit; }
  __host__ __device__ int chunks() const { return (units() + chunk_units - 1) / chunk_units; }
  __host__ __device__ int panels() const {
    return (outputs + Int4View::kPanel - 1) / Int4View::kPanel;
  }
};

/// Where things lie in a block's shared memory, in bytes.
template <int kGroup, int kMatrices, int kTiles>
struct LinearShared {
  static constexpr int kStages = kMatrices == 1 ? 4 : 3;  // in a warp's ring
  static constexpr int kStage = kMatrices * Int4Unit<kGroup>::kBytes;
  static constexpr int kTokens = 8 * kTiles;
  static constexpr int kSums = kMatrices * kTokens * kSumsRow * static_cast<int>(sizeof(float));
  static constexpr int kWarp = kStages * kStage + kSums;
  static constexpr int kUnitOfX = kTokens * kUnit * 2;

  static int size(const LinearCall<kMatrices>& a) {
    return a.warps() * kWarp + (a.chunks() > 1 ? 2 : 1) * a.chunk_units * kUnitOfX;
  }
};

/// The units that a warp goes through: its slice of one panel after the other.
template <int kGroup>
class UnitStream {
 public:
  __device__ UnitStream(int panel, int end_panel, int columns, int slice, int slices, int octets)
      : octets_(octets),
        panel_(panel),
        end_panel_(end_panel),
        columns_(columns),
        slice_(slice),
        slices_(slices) {
    start_panel();
  }
  __device__ bool ended() const { return panel_ >= end_panel_; }
  __device__ const typename Int4Unit<kGroup>::Place& place() const { return place_; }
  __device__ void advance() {
    place_.octet += slices_ * (kUnit / 8);
    place_.group += slices_ * (kUnit / kGroup);
    place_.octets_left -= slices_ * (kUnit / 8);
    if (place_.octets_left > 0) return;
    panel_ += columns_;
    start_panel();
  }

 private:
  __device__ void start_panel() {
    const int first = slice_ * (kUnit / 8);
    place_ = {panel_ * octets_ + first, (panel_ * octets_ + first) / (kGroup / 8), octets_ - first};
  }

  int octets_;
  int panel_;
  int end_panel_;
  int columns_;
  int slice_;
  int slices_;
  typename Int4Unit<kGroup>::Place place_;
};

/// Asks for x of a chunk of units: each thread for the octets that `permute_x` will have it put
/// into fragment order. Tokens and inputs that there are not become zeros.
template <int kTiles>
__device__ void request_x(uint4* to, const uint4* x, int tokens, int octets, int first_octet,
                          int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < count; i += warps) {
    const int token = i % kTiles * 8 + lane / 4;
    const int octet = first_octet + i / kTiles * 4 + lane % 4;
    const bool valid = token < tokens && octet < octets;
    copy_or_zeros_async(shared_address(&to[i * 32 + lane]),
                        x + (valid ? static_cast<std::ptrdiff_t>(token) * octets + octet : 0),
                        valid);
  }
}
__device__ void permute_x(uint4* x, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count * 32; i += static_cast<int>(blockDim.x)) {
    x[i] = fragment_order(x[i]);
  }
}

/// The epilogue of one panel by the warps that share it. `sums`: [slices, kMatrices, tokens].
template <int kMatrices, int kTiles>
__device__ void finish_panel(const LinearCall<kMatrices>& a, const float* sums, int panel,
                             int first_token, int tokens, int thread) {
  constexpr int kMatrix = 8 * kTiles * kSumsRow;
  for (int i = thread; i < tokens * 16; i += a.slices * 32) {
    const int n = panel * 16 + i % 16;
    if (n >= a.outputs) continue;
    float y[kMatrices];
#pragma unroll
    for (int m = 0; m < kMatrices; ++m) {
      const float* from = sums + m * kMatrix + i / 16 * kSumsRow + i % 16;
      y[m] = a.bias[m] ? a.bias[m][n] : 0.0F;
      for (int s = 0; s < a.slices; ++s) y[m] += from[s * kMatrices * kMatrix];
    }
    const float value = kMatrices == 2 ? silu(y[0]) * y[kMatrices - 1] : apply(a.epilogue, y[0]);
    store_as(a.out_type, a.out, static_cast<std::ptrdiff_t>(first_token + i / 16) * a.outputs + n,
             value);
  }
}

template <class Operand, int kGroup, int kMatrices, int kTiles>
__global__ void __launch_bounds__(kMostWarps * 32, 1)
    fused_dequant_linear_kernel(const __grid_constant__ LinearCall<kMatrices> a) {
  using Shared = LinearShared<kGroup, kMatrices, kTiles>;
  constexpr int kStages = Shared::kStages;
  constexpr int kFragments = kUnit / 32 * kTiles;  // of x in a unit, 32 octets each
  extern __shared__ uint4 shared[];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = warp / a.slices;
  const int slice = warp % a.slices;
  const int units = a.units();
  const int octets = a.inputs / 8;
  auto* const all_sums = reinterpret_cast<std::byte*>(shared);
  auto* const column_sums = reinterpret_cast<float*>(all_sums + column * a.slices * Shared::kSums);
  std::byte* const ring = all_sums + a.warps() * Shared::kSums + warp * kStages * Shared::kStage;
  const std::uint32_t ring_address = shared_address(ring);
  auto* const xs = reinterpret_cast<uint4*>(all_sums + a.warps() * Shared::kWarp);

  const int blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  const int share = a.panels() / blocks;
  const int rest = a.panels() % blocks;
  const int first_panel = share * block + min(block, rest);
  const int end_panel = first_panel + share + (block < rest ? 1 : 0);
  const int first_token = static_cast<int>(blockIdx.y) * Shared::kTokens;
  const int tokens = min(Shared::kTokens, a.tokens - first_token);
  const uint4* const x = a.x + static_cast<std::ptrdiff_t>(first_token) * octets;

  UnitStream<kGroup> next(first_panel + column, end_panel, a.columns, slice, a.slices, octets);
  const auto request = [&](int stage) {
    if (!next.ended()) {
#pragma unroll
      for (int m = 0; m < kMatrices; ++m) {
        Int4Unit<kGroup>::request(
            ring_address + stage * Shared::kStage + m * Int4Unit<kGroup>::kBytes, a.weights[m],
            next.place(), lane);
      }
      next.advance();
    }
    commit_copies();
  };
  for (int stage = 0; stage < kStages - 1; ++stage) request(stage);

  // x of a chunk of units, in the buffer of its turn. Where it is not all of x, chunks follow each
  // other for each round of panels.
  const int chunks = a.chunks();
  const auto x_of = [&](int turn) { return xs + (turn % 2) * a.chunk_units * kFragments * 32; };
  const auto fragments_of = [&](int chunk) {
    return min(a.chunk_units, units - chunk * a.chunk_units) * kFragments;
  };
  const auto request_chunk = [&](int turn, int chunk) {
    request_x<kTiles>(x_of(turn), x, tokens, octets, chunk * a.chunk_units * (kUnit / 8),
                      fragments_of(chunk));
  };
  wait_for_previous();  // weights are nobody's output, x is
  let_next_start();
  request_chunk(0, 0);
  commit_copies();
  wait_copies<0>();
  permute_x(x_of(0), fragments_of(0));
  __syncthreads();

  int stage = 0;
  int turn = 0;
  for (int panel = first_panel + column; panel - column < end_panel; panel += a.columns) {
    float totals[kMatrices][kTiles][4];
#pragma unroll
    for (auto& total : totals) clear(total);
    int u = slice;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const bool last = panel - column + a.columns >= end_panel && chunk + 1 == chunks;
      const int next_chunk = chunk + 1 == chunks ? 0 : chunk + 1;
      if (chunks > 1 && !last) request_chunk(turn + 1, next_chunk);  // with a unit's copies
      const uint4* const held = x_of(turn) - chunk * a.chunk_units * kFragments * 32;
      const int end = min((chunk + 1) * a.chunk_units, units);
      if (panel < end_panel) {
        for (; u < end; u += a.slices) {
          wait_copies<kStages - 2>();
          __syncwarp();
          request(stage == 0 ? kStages - 1 : stage - 1);
          const uint4* const fragments = held + u * kFragments * 32 + lane;
          add_unit<Operand, kGroup, kTiles>(
              ring + stage * Shared::kStage, a.weights,
              [&](int c, int j) { return fragments[(c * kTiles + j) * 32]; }, lane, totals);
          stage = stage + 1 == kStages ? 0 : stage + 1;
        }
      }
      if (chunks > 1 && !last) {
        commit_copies();
        wait_copies<0>();
        permute_x(x_of(turn + 1), fragments_of(next_chunk));
        __syncthreads();
        ++turn;
      }
    }
    if (panel >= end_panel) continue;
    sync_slices(column, a.slices);  // the last panel's sums have been read
#pragma unroll
    for (int m = 0; m < kMatrices; ++m) {
      store_sums(column_sums + (slice * kMatrices + m) * Shared::kTokens * kSumsRow, totals[m],
                 lane);
    }
    sync_slices(column, a.slices);
    finish_panel<kMatrices, kTiles>(a, column_sums, panel, first_token, tokens, slice * 32 + lane);
  }
}

/// How a block's warps share its panels: all of them side by side if that leaves a warp for each,
/// and as many warps a panel as there are.
template <int kMatrices>
void divide_block(LinearCall<kMatrices>& a, int blocks, int warps) {
  const int panels = (a.panels() + blocks - 1) / blocks;
  const int rounds = (panels + warps - 1) / warps;
  a.columns = (panels + rounds - 1) / rounds;
  a.slices = std::min(warps / a.columns, a.units());
}

/// Runs the call with tiles of 8 * kTiles tokens, or smaller ones where shared memory is short.
template <class Operand, int kGroup, int kMatrices, int kTiles>
void launch(LinearCall<kMatrices> a, Stream stream) {
  using Shared = LinearShared<kGroup, kMatrices, kTiles>;
  const int limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const int blocks = std::min(a.panels(), device_attribute(cudaDevAttrMultiProcessorCount));
  if (a.slices == 0) {
    using Smallest = LinearShared<kGroup, kMatrices, 1>;
    int warps = kMostWarps;  // the same whatever the tokens
    while (warps * Smallest::kWarp + 2 * Smallest::kUnitOfX > limit) warps /= 2;
    divide_block(a, blocks, warps);
  }
  a.chunk_units = a.units();
  if (Shared::size(a) > limit) {
    const int room = (limit - a.warps() * Shared::kWarp) / (2 * Shared::kUnitOfX);
    if constexpr (kTiles > 1) {
      if (room < std::min(a.slices, 8)) {
        return launch<Operand, kGroup, kMatrices, kTiles / 2>(a, stream);
      }
    }
    a.chunk_units = room > a.slices ? room / a.slices * a.slices : room;
  }
  auto* const kernel = fused_dequant_linear_kernel<Operand, kGroup, kMatrices, kTiles>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shared::size(a)),
        "cudaFuncSetAttribute");
  const dim3 grid(blocks, (a.tokens + Shared::kTokens - 1) / Shared::kTokens);
  launch_dependent("fused_dequant_linear", kernel,
                   {grid, a.warps() * 32, static_cast<std::size_t>(Shared::size(a))},
                   native(stream), a);
}

template <class Operand, int kGroup, int kMatrices>
void launch(const LinearCall<kMatrices>& a, Stream stream) {
  if (a.tokens <= 8) return launch<Operand, kGroup, kMatrices, 1>(a, stream);
  // Two matrices' sums of 32 tokens would not fit in the registers.
  constexpr int kMostTiles = kMatrices == 1 ? 4 : 2;
  if (a.tokens <= 16) return launch<Operand, kGroup, kMatrices, 2>(a, stream);
  launch<Operand, kGroup, kMatrices, kMostTiles>(a, stream);
}

template <class Operand, int kMatrices>
void launch(int group, const LinearCall<kMatrices>& a, Stream stream) {
  switch (group) {
    case 32:
      return launch<Operand, 32>(a, stream);
    case 64:
      return launch<Operand, 64>(a, stream);
    default:
      return launch<Operand, 128>(a, stream);
  }
}

template <int kMatrices>
LinearCall<kMatrices> call_of(const FusedDequantLinearArgs& args) {
  LinearCall<kMatrices> call{.x = static_cast<const uint4*>(args.x),
                             .tokens = args.tokens,
                             .inputs = args.weights.inputs,
                             .outputs = args.weights.outputs,
                             .weights = {Int4Matrix(args.weights)},
                             .bias = {args.bias},
                             .epilogue = args.epilogue,
                             .out = args.out,
                             .out_type = args.out_type};
  if constexpr (kMatrices == 2) {
    call.weights[1] = Int4Matrix(args.up);
    call.bias[1] = args.up_bias;
  }
  return call;
}

template <class Operand>
void launch(const FusedDequantLinearArgs& args, Stream stream) {
  const int group = args.weights.group;
  if (args.epilogue == Epilogue::kSiluMul) {
    launch<Operand>(group, call_of<2>(args), stream);
  } else {
    launch<Operand>(group, call_of<1>(args), stream);
  }
}

}  // namespace

void fused_dequant_linear(const FusedDequantLinearArgs& args, Stream stream) {
  if (args.tokens == 0) return;
  if (args.x_type == FloatType::kF16) return launch<F16Operand>(args, stream);
  launch<Bf16Operand>(args, stream);
}

}  // namespace thermoe::cuda
