// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/check.h"
#include "kernels/random_device_data.h"

namespace thermoe {
namespace {

/// Mixes a seed and an index to 64 bits (splitmix64's finaliser).
__device__ std::uint64_t mixed(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = seed * 0xd1342543de82ef95ULL + (i + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

__device__ float normal(std::uint64_t seed, std::uint64_t i) {
  const std::uint64_t bits = mixed(seed, i);
  const float u = (static_cast<float>(bits >> 40) + 0.5F) * 0x1p-24F;
  const float angle = static_cast<float>(bits & 0xffffffU) * 0x1p-24F;
  return sqrtf(-2.0F * logf(u)) * cospif(2.0F * angle);
}

__device__ void put(float& to, float value) { to = value; }
__device__ void put(__nv_bfloat16& to, float value) { to = __float2bfloat16(value); }
__device__ void put(__half& to, float value) { to = __float2half(value); }

template <class T>
__global__ void fill_normal(T* to, std::size_t n, unsigned seed, float deviation) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += stride) {
    put(to[i], deviation * normal(seed, i));
  }
}

/// `mask` keeps some bits of each word.
__global__ void fill_words(std::uint32_t* to, std::size_t n, unsigned seed, std::uint32_t mask) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += stride) {
    to[i] = static_cast<std::uint32_t>(mixed(seed, i)) & mask;
  }
}

constexpr int kBlocks = 1056;
constexpr int kThreads = 256;

template <class T>
DeviceMemory normals(std::size_t n, unsigned seed, float deviation) {
  DeviceMemory memory(n * sizeof(T));
  if (n == 0) return memory;
  fill_normal<<<kBlocks, kThreads>>>(memory.as<T>(), n, seed, deviation);
  cuda::check_launch("fill_normal");
  return memory;
}

DeviceMemory words(std::size_t n, unsigned seed, std::uint32_t mask) {
  DeviceMemory memory(n * sizeof(std::uint32_t));
  if (n == 0) return memory;
  fill_words<<<kBlocks, kThreads>>>(memory.as<std::uint32_t>(), n, seed, mask);
  cuda::check_launch("fill_words");
  return memory;
}

}  // namespace

DeviceMemory normal_f32(std::size_t n, unsigned seed, float deviation) {
  return normals<float>(n, seed, deviation);
}
DeviceMemory normal_bf16(std::size_t n, unsigned seed, float deviation) {
  return normals<__nv_bfloat16>(n, seed, deviation);
}
DeviceMemory normal_f16(std::size_t n, unsigned seed, float deviation) {
  return normals<__half>(n, seed, deviation);
}

DeviceMemory random_words(std::size_t n, unsigned seed) { return words(n, seed, 0xffffffffU); }
DeviceMemory random_nibbles(std::size_t n, unsigned seed) {
  return words((n + 3) / 4, seed, 0x0f0f0f0fU);
}

}  // namespace thermoe
