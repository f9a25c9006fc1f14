// SPDX-License-Identifier: Apache-2.0
#include "captured_graph.h"
#include "permute_combine_problem.h"

namespace thermoe {
namespace {

INSTANTIATE_TEST_SUITE_P(Cuda, PermuteCombineTest, ::testing::Values(Backend::kCuda), backend_name);

void expect_same(const PermuteResult& a, const PermuteResult& b) {
  EXPECT_EQ(a.first, b.first);
  EXPECT_EQ(a.pair, b.pair);
  EXPECT_EQ(a.row, b.row);
  EXPECT_EQ(a.permuted, b.permuted);
  EXPECT_EQ(a.combined, b.combined);
  EXPECT_EQ(a.grad_rows, b.grad_rows);
  EXPECT_EQ(a.grad_weight, b.grad_weight);
  EXPECT_EQ(a.grad_x, b.grad_x);
}

constexpr PermuteShape kShape{.tokens = 700, .slots = 8, .experts = 60, .width = 192};

TEST(CudaPermuteCombine, RunsTwiceToTheSameBits) {
  const PermuteProblem problem(kShape);
  expect_same(run_permute_combine(Backend::kCuda, problem, FloatType::kBf16),
              run_permute_combine(Backend::kCuda, problem, FloatType::kBf16));
}

TEST(CudaPermuteCombine, AgreesWithTheCpuBitForBitButForADotProductsOrder) {
  const PermuteProblem problem(kShape);
  PermuteResult device = run_permute_combine(Backend::kCuda, problem, FloatType::kBf16);
  const PermuteResult host = run_permute_combine(Backend::kCpu, problem, FloatType::kBf16);
  device.grad_weight = host.grad_weight;
  expect_same(device, host);
}

TEST(CudaPermuteCombine, ACapturedGraphDoesWhatTheCallsDo) {
  const PermuteProblem problem(kShape);
  PermuteCombineRun run(Backend::kCuda, problem, FloatType::kF32);
  const CapturedGraph graph([&](Stream stream) { run.run(stream); });
  for (int i = 0; i < 3; ++i) graph.replay();
  expect_same(run.result(), run_permute_combine(Backend::kCuda, problem, FloatType::kF32));
}

}  // namespace
}  // namespace thermoe
