// SPDX-License-Identifier: Apache-2.0
// What any op is held against in the same run: how fast memory is read, and what a launch costs.
#include "kernels/cuda/check.h"
#include "kernels/random_device_data.h"
#include "rows.h"
#include "shared_data.h"

namespace thermoe::bench {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 30;

/// Loads 16 bytes a thread, kLoads of them in flight, and keeps the compiler from dropping them.
template <int kLoads>
__global__ void read_all(const uint4* from, std::size_t n, unsigned* never) {
  const std::size_t tile = static_cast<std::size_t>(blockDim.x) * kLoads;
  unsigned sum = 0;
  for (std::size_t first = blockIdx.x * tile; first < n; first += gridDim.x * tile) {
    uint4 loaded[kLoads];
#pragma unroll
    for (int j = 0; j < kLoads; ++j)
      loaded[j] = __ldcs(from + first + j * blockDim.x + threadIdx.x);
#pragma unroll
    for (int j = 0; j < kLoads; ++j) {
      sum += loaded[j].x ^ loaded[j].y ^ loaded[j].z ^ loaded[j].w;
    }
  }
  if (sum == 0x9e3779b9U) atomicAdd(never, sum);
}

__global__ void empty() {}

/// Lets the next kernel of the stream start at once, and waits for the one before.
__global__ void empty_programmatic() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Read alternately, so that no call finds the end of the one before in L2.
struct TwoBuffers {
  DeviceMemory words[2] = {random_words(kReadBytes / 4, 1), random_words(kReadBytes / 4, 2)};
  DeviceMemory never{256};
};

template <int kLoads>
Row read_row(int blocks, int threads, const SharedData<TwoBuffers>& shared) {
  const auto prepare = [=] {
    const std::shared_ptr<TwoBuffers> buffers = shared.get([] { return TwoBuffers{}; });
    const std::size_t n = kReadBytes / sizeof(uint4);
    const std::size_t tiles = n / (static_cast<std::size_t>(threads) * kLoads);
    const auto grid = static_cast<unsigned>(blocks == 0 ? tiles : blocks);
    return Work{.enqueue =
                    [=](int call, Stream stream) {
                      read_all<kLoads><<<grid, threads, 0, cuda::native(stream)>>>(
                          buffers->words[call % 2].as<uint4>(), n, buffers->never.as<unsigned>());
                      cuda::check_launch("read_all");
                    },
                .bytes = static_cast<double>(kReadBytes)};
  };
  return {
      .op = "read",
      .shape = {{"bytes", kReadBytes}, {"blocks", blocks}, {"threads", threads}, {"loads", kLoads}},
      .impl = "floor",
      .prepare = prepare,
      .least_calls = 8};
}

void launch_empty(bool programmatic, Stream stream) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(32);
  config.stream = cuda::native(stream);
  config.attrs = &overlap;
  config.numAttrs = programmatic ? 1 : 0;
  cuda::check(cudaLaunchKernelEx(&config, programmatic ? empty_programmatic : empty),
              "cudaLaunchKernelEx");
}

Row empty_kernel_row(bool programmatic) {
  const auto enqueue = [=](int, Stream stream) { launch_empty(programmatic, stream); };
  return {.op = "empty_kernel",
          .shape = {{"launch", programmatic ? "programmatic" : "ordinary"}},
          .impl = "floor",
          .prepare = [enqueue] { return Work{.enqueue = enqueue}; }};
}

}  // namespace

std::vector<Row> read_rows() {
  const SharedData<TwoBuffers> shared;
  return {read_row<4>(0, 256, shared),    read_row<8>(0, 256, shared),
          read_row<8>(0, 512, shared),    read_row<4>(528, 512, shared),
          read_row<8>(264, 512, shared),  read_row<8>(1056, 256, shared),
          read_row<16>(264, 256, shared), read_row<8>(132, 1024, shared)};
}

std::vector<Row> empty_kernel_rows() { return {empty_kernel_row(false), empty_kernel_row(true)}; }

Row apart(Row row) {
  row.shape["between"] = "empty kernel";
  row.prepare = [prepare = row.prepare] {
    Work work = prepare();
    work.enqueue = [enqueue = work.enqueue](int call, Stream stream) {
      enqueue(call, stream);
      launch_empty(false, stream);
    };
    return work;
  };
  return row;
}

}  // namespace thermoe::bench
