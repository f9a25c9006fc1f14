// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <span>
#include <string>

namespace thermoe::bench {

/// Each adds its benchmarks to the program's list.
void register_linear();
void register_topk();

/// Adds `body` once for each number of tokens, which it reads from range(0).
template <class Body>
void add_by_tokens(const std::string& name, std::span<const int> tokens, const Body& body) {
  auto* bench = benchmark::RegisterBenchmark(name.c_str(), body);
  bench->Unit(benchmark::kMicrosecond)->ArgName("tokens");
  for (const int count : tokens) bench->Arg(count);
}

}  // namespace thermoe::bench
