// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "core/cpu_isa.h"

namespace thermoe::bench {

/// Normal values, the same for the same seed.
inline std::vector<float> random_values(std::size_t n, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

struct NamedIsa {
  const char* name;
  cpu::Isa isa;
};

/// The instruction sets that this machine runs, the simplest first.
inline std::vector<NamedIsa> isas() {
  std::vector<NamedIsa> all{{"baseline", cpu::Isa::kBaseline}};
  if (cpu::supported(cpu::Isa::kAvx2)) all.push_back({"avx2", cpu::Isa::kAvx2});
  if (cpu::supported(cpu::Isa::kAvx512)) all.push_back({"avx512", cpu::Isa::kAvx512});
  return all;
}

}  // namespace thermoe::bench
