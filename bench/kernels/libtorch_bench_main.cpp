// SPDX-License-Identifier: Apache-2.0
// This library's kernels beside LibTorch's and beside a plain read of the weights: one process, one
// thread. bench/README.md says how to run it.
#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fstream>
#include <string>

#include "bench_data.h"
#include "libtorch_benches.h"

namespace {

/// The value behind `key` in the first block of /proc/cpuinfo; "unknown" where there is none.
std::string cpu_info(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && line.rfind(key, 0) == 0) return line.substr(colon + 2);
  }
  return "unknown";
}

void add_context() {
  benchmark::AddCustomContext("cpu_model", cpu_info("model name"));
  benchmark::AddCustomContext(
      "cpu_family_model_stepping",
      cpu_info("cpu family") + "/" + cpu_info("model\t") + "/" + cpu_info("stepping"));
  benchmark::AddCustomContext("cpu_mhz_at_start", cpu_info("cpu MHz"));
  benchmark::AddCustomContext("best_isa", thermoe::bench::isas().back().name);
  benchmark::AddCustomContext("torch", TORCH_VERSION);
  benchmark::AddCustomContext("torch_cpu_capability", at::get_cpu_capability());
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
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
