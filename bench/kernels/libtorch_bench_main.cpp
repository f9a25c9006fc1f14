// SPDX-License-Identifier: Apache-2.0
// This library's kernels beside LibTorch's and beside a plain read of the weights: one process, one
// thread. bench/README.md says how to run it.
#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <string>

#include "../processor_context.h"
#include "bench_data.h"
#include "libtorch_benches.h"

namespace {

void add_context() {
  thermoe::bench::add_processor_context();
  benchmark::AddCustomContext("best_isa", thermoe::bench::isas().back().name);
  benchmark::AddCustomContext("torch", TORCH_VERSION);
  benchmark::AddCustomContext("torch_cpu_capability", at::get_cpu_capability());
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  add_context();
  thermoe::bench::register_linear();
  thermoe::bench::register_topk();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
