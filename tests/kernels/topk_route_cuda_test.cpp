// SPDX-License-Identifier: Apache-2.0
// topk_route on a CUDA device beside the CPU's: one arithmetic, so the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "captured_graph.h"
#include "device_copy.h"
#include "kernels/device_plan.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

const KernelBackend kDevice = kernel_backends().front();
const KernelBackend kHost{
    .name = "cpu",
    .multiplies_bf16 = false,
    .reads_host_memory = true,
    .topk_route = [](const TopkRouteArgs& a) { topk_route(Backend::kCpu, a, Stream{nullptr}); }};

/// The first output that differs; empty where all are the same bits (a NaN equals no NaN).
std::string difference(const RouteResult& a, const RouteResult& b) {
  if (a.expert != b.expert) return "expert";
  if (a.weight != b.weight) return "weight";
  if (a.counts != b.counts) return "counts";
  if (a.kept_mass != b.kept_mass) return "kept_mass";
  if (a.masked_logits != b.masked_logits) return "masked_logits";
  if (a.first != b.first || a.pair != b.pair) return "order";
  return "";
}

TEST(TopkRouteCuda, EveryOutputHasTheBitsOfTheCpus) {
  std::mt19937 random(404);
  int differ = 0;
  for (int i = 0; i < 4000; ++i) {
    const RouteProblem problem = random_problem(random);
    const std::string where = difference(route(kDevice, problem), route(kHost, problem));
    // Only scores other than softmax may round otherwise, where float64 cannot tell either.
    if (where.empty()) continue;
    ++differ;
    ASSERT_NE(problem.score, ScoreFunction::kSoftmax) << "problem " << i << ": " << where;
    ASSERT_LT(route_oracle(problem).smallest_margin(), 1e-6) << "problem " << i << ": " << where;
  }
  RecordProperty("differ", differ);
  std::cout << differ << " of 4000 random problems differ from the CPU\n";
}

TEST(TopkRouteCuda, PicksAmongTiesOfSixteenBitsAreTheCpus) {
  std::mt19937 random(408);
  for (const FloatType type : {FloatType::kBf16, FloatType::kF16}) {
    for (const int experts : {64, 128, 256, 512, 1024}) {
      for (const int tokens : {3, 40, 100}) {
        for (const bool grid : {false, true}) {
          RouteProblem problem{.tokens = tokens, .experts = experts, .k = 40, .type = type};
          fill_logits(problem, random, grid);
          problem.logits[5] = std::numeric_limits<float>::quiet_NaN();
          problem.logits[6] = -std::numeric_limits<float>::infinity();
          problem.logits[7] = -0.0F;
          const auto same = [&](const char* plan) {
            EXPECT_EQ(difference(route(kDevice, problem), route(kHost, problem)), "")
                << tokens << " tokens, " << experts << " experts, grid " << grid << ", " << plan;
          };
          same("no plan");
          problem.plan_k = 35;
          problem.price.assign(experts, 0.05F);
          same("prices and fewer picks than the router's");
          problem.bias.assign(experts, 0.01F);
          problem.bias[9] = 0.3F;
          same("prices and biases");
        }
      }
    }
  }
}

TEST(TopkRouteCuda, LargeBatchesAndRoutersHaveTheBitsOfTheCpus) {
  std::mt19937 random(405);
  for (const int tokens : {1, 16, 64, 65, 300, 4096}) {
    for (const int experts : {8, 60, 128, 160, 256, 384, 512, 1024}) {
      if (tokens == 4096 && experts > 256) continue;
      RouteProblem problem{.tokens = tokens, .experts = experts, .k = std::min(8, experts)};
      problem.groups = experts % 8 == 0 && experts >= 128 ? 8 : 1;
      problem.groups_kept = problem.groups == 8 ? 4 : 1;
      problem.fill_slots = tokens == 65;
      fill_logits(problem, random, tokens == 300);
      const auto same = [&](const char* plan) {
        EXPECT_EQ(difference(route(kDevice, problem), route(kHost, problem)), "")
            << tokens << " tokens, " << experts << " experts, " << plan;
      };
      same("no plan");
      problem.price.resize(experts);
      for (float& p : problem.price) p = std::uniform_real_distribution<float>(0, 0.3F)(random);
      same("prices");
      problem.extra_k_share = 0.3F;
      problem.extra_k_min_share = 0.6F;
      problem.step.step = 12345;
      same("prices and shares");
      problem.price.assign(experts, std::numeric_limits<float>::infinity());
      problem.step.valid_tokens = tokens / 2;
      same("opportunistic, padding");
    }
  }
}

/// `batches` of `tokens` in one call.
void expect_batches_have_the_bits_of_the_cpus(int tokens, int batches) {
  std::mt19937 random(406);
  RouteProblem all{.tokens = tokens * batches, .experts = 128, .k = 8};
  fill_logits(all, random, false);
  all.price.assign(128, 0.1F);
  const auto run = [&](const KernelBackend& backend) {
    std::vector<std::int32_t> expert(all.tokens * 8, -77);
    std::vector<float> weight(expert.size());
    std::vector<std::int32_t> counts(batches * 128);
    const RouterSpec spec = all.router();
    const RouterView router(spec, nullptr);
    std::vector<std::byte> workspace(topk_route_workspace(Backend::kCpu, router, tokens, 8));
    backend.topk_route({.logits = all.logits.data(),
                        .tokens = tokens,
                        .batches = batches,
                        .router = router,
                        .plan = {.activation_price = all.price.data()},
                        .expert = expert.data(),
                        .weight = weight.data(),
                        .slots = 8,
                        .counts = counts.data(),
                        .workspace = workspace.data(),
                        .workspace_size = workspace.size()});
    return std::tuple(expert, weight, counts);
  };
  EXPECT_EQ(run(kDevice), run(kHost));
}
TEST(TopkRouteCuda, BatchesInOneLaunchHaveTheBitsOfTheCpus) {
  expect_batches_have_the_bits_of_the_cpus(16, 37);
}
TEST(TopkRouteCuda, LargeBatchesInOneCallHaveTheBitsOfTheCpus) {
  expect_batches_have_the_bits_of_the_cpus(100, 3);
}

/// A captured call of `tokens` x 128 experts and what it reads and writes, all at fixed addresses.
class Captured {
 public:
  Captured(const RouteProblem& p, const DevicePlan& plan)
      : slots_(p.slots()),
        logits_(on_device(std::span(p.logits))),
        step_(sizeof(StepState)),
        expert_(static_cast<std::size_t>(p.tokens) * slots_ * 4),
        weight_(static_cast<std::size_t>(p.tokens) * slots_ * 4),
        counts_(static_cast<std::size_t>(p.experts) * 4) {
    const RouterSpec spec = p.router();
    const RouterView router(spec, nullptr);
    workspace_ = DeviceMemory(topk_route_workspace(Backend::kCuda, router, p.tokens, slots_));
    graph_.emplace([&](Stream stream) {
      topk_route(Backend::kCuda,
                 {.logits = logits_.as<const float>(),
                  .tokens = p.tokens,
                  .router = router,
                  .plan = plan.view(0),
                  .step = step_.as<const StepState>(),
                  .expert = expert_.as<std::int32_t>(),
                  .weight = weight_.as<float>(),
                  .slots = slots_,
                  .counts = counts_.as<std::int32_t>(),
                  .workspace = workspace_.data(),
                  .workspace_size = workspace_.size()},
                 stream);
    });
  }

  Stream stream() const { return graph_->stream(); }
  RouteResult replay(const StepState& step, int experts, int tokens) {
    copy_to_device(step_.data(), std::as_bytes(std::span(&step, 1)), stream());
    graph_->replay();
    RouteResult r{.expert = std::vector<std::int32_t>(static_cast<std::size_t>(tokens) * slots_),
                  .weight = std::vector<float>(static_cast<std::size_t>(tokens) * slots_),
                  .counts = std::vector<std::int32_t>(static_cast<std::size_t>(experts))};
    copy_to_host(std::as_writable_bytes(std::span(r.expert)), expert_.data(), stream());
    copy_to_host(std::as_writable_bytes(std::span(r.weight)), weight_.data(), stream());
    copy_to_host(std::as_writable_bytes(std::span(r.counts)), counts_.data(), stream());
    synchronise(stream());
    return r;
  }

 private:
  int slots_;
  DeviceMemory logits_, step_, expert_, weight_, counts_, workspace_{};
  std::optional<CapturedGraph> graph_{};
};

TEST(TopkRouteCuda, AGraphReplayedOverChangingPlansAndStepsEqualsCallsOfTheirOwn) {
  std::mt19937 random(407);
  for (const int tokens : {16, 64, 200}) {
    RouteProblem problem{.tokens = tokens, .experts = 128, .k = 8};
    problem.extra_k_share = 0.5F;  // slots for one more
    fill_logits(problem, random, false);
    DevicePlan device_plan(1, 128);
    Captured captured(problem, device_plan);
    for (int i = 0; i < 40; ++i) {
      problem.plan_k = pick(random, 1, 8);
      problem.k_min = pick(random, 1, *problem.plan_k);
      problem.extra_k_share = static_cast<float>(pick(random, 1, 8)) / 8.0F;
      problem.bias.assign(128, 0.0F);
      problem.price.assign(128, 0.0F);
      for (float& b : problem.bias)
        b = i % 3 == 0 ? static_cast<float>(pick(random, 0, 9)) / 64 : 0;
      for (float& p : problem.price)
        p = i % 4 == 0 ? 0 : static_cast<float>(pick(random, 0, 9)) / 32;
      problem.step = {.step = random(), .valid_tokens = pick(random, -1, tokens)};
      RoutingPlan plan(1, 128, *problem.plan_k);
      plan.layer(0).k_min = problem.k_min;
      plan.layer(0).extra_k_share = problem.extra_k_share;
      std::ranges::copy(problem.bias, plan.selection_bias(0).begin());
      std::ranges::copy(problem.price, plan.activation_price(0).begin());
      ASSERT_TRUE(device_plan.update(plan, captured.stream()));
      RouteProblem own = problem;
      const RouteResult replayed = captured.replay(problem.step, 128, tokens);
      const RouteResult expected = route(kHost, own);
      // The graph's rows have room for nine; the problem's own may have one less.
      for (int t = 0; t < tokens; ++t) {
        for (int n = 0; n < 9; ++n) {
          const bool there = n < own.slots();
          const std::size_t at = static_cast<std::size_t>(t) * own.slots() + n;
          ASSERT_EQ(replayed.expert[t * 9 + n], there ? expected.expert[at] : -1);
          ASSERT_EQ(replayed.weight[t * 9 + n], there ? expected.weight[at] : 0.0F);
        }
      }
      ASSERT_EQ(replayed.counts, expected.counts);
      ASSERT_EQ(captured.replay(problem.step, 128, tokens), replayed);
    }
  }
}

TEST(DevicePlan, ManyUpdatesInARowEndWithTheLastThatWasTaken) {
  DevicePlan device_plan(2, 16);
  RoutingPlan plan(2, 16, 2);
  float last = 0.0F;
  for (int i = 1; i <= 200; ++i) {
    plan.activation_price(1)[3] = static_cast<float>(i);
    if (device_plan.update(plan, Stream{nullptr})) last = static_cast<float>(i);
  }
  float seen = 0.0F;
  copy_to_host(std::as_writable_bytes(std::span(&seen, 1)),
               device_plan.view(1).activation_price + 3, Stream{nullptr});
  synchronise(Stream{nullptr});
  EXPECT_EQ(seen, last);
  EXPECT_GT(last, 0.0F);
  EXPECT_TRUE(device_plan.update(plan, Stream{nullptr}));
}

TEST(DevicePlan, RefusesAnotherShapeAndAPlanThatCannotRun) {
  DevicePlan device_plan(2, 16);
  EXPECT_THROW(device_plan.update(RoutingPlan(2, 8, 2), Stream{nullptr}), PreconditionError);
  RoutingPlan bad(2, 16, 2);
  bad.activation_price(0)[0] = -1.0F;
  EXPECT_THROW(device_plan.update(bad, Stream{nullptr}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
