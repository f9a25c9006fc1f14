// SPDX-License-Identifier: Apache-2.0
#include "read_floor.h"

#include "kernels/cpu/pack.h"

namespace thermoe::bench {
namespace {

template <int W>
THERMOE_INLINE std::uint32_t sum(const std::uint32_t* words, std::size_t count) {
  constexpr int kStreams = 8;  // sums side by side, so that loads do not wait for additions
  cpu::Ints<W> sums[kStreams];
  for (auto& s : sums) s = cpu::splat<W>(std::int32_t{0});
  for (std::size_t i = 0; i < count; i += kStreams * cpu::kLanes) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      const auto v = cpu::load<W>(words + i + static_cast<std::size_t>(s) * cpu::kLanes);
      sums[s] = sums[s] + cpu::bits_as<std::int32_t>(v);
    }
  }
  std::uint32_t total = 0;
  for (const auto& s : sums) {
    std::int32_t lanes[cpu::kLanes];
    cpu::store(lanes, s);
    for (const std::int32_t lane : lanes) total += static_cast<std::uint32_t>(lane);
  }
  return total;
}

THERMOE_TARGET_AVX512 std::uint32_t sum_avx512(const std::uint32_t* words, std::size_t count) {
  return sum<cpu::kAvx512Width>(words, count);
}
THERMOE_TARGET_AVX2 std::uint32_t sum_avx2(const std::uint32_t* words, std::size_t count) {
  return sum<cpu::kAvx2Width>(words, count);
}

}  // namespace

std::uint32_t sum_words(const std::uint32_t* words, std::size_t count, cpu::Isa isa) {
  switch (isa) {
    case cpu::Isa::kAvx512:
      return sum_avx512(words, count);
    case cpu::Isa::kAvx2:
      return sum_avx2(words, count);
    case cpu::Isa::kBaseline:
      break;
  }
  return sum<cpu::kBaselineWidth>(words, count);
}

}  // namespace thermoe::bench
