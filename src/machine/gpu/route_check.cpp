// SPDX-License-Identifier: Apache-2.0
#include "machine/gpu/route_check.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "core/errors.h"
#include "kernels/aligned_vector.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

constexpr double kNearTie = 1e-6;

/// What the host makes of one layer.
struct HostPicks {
  std::vector<std::int32_t> expert;  // [tokens, slots]
  std::vector<std::int32_t> counts;  // [experts]
};

HostPicks route_layer(const StagedStep& step, const RouterSpec& router, int layer, int slots) {
  const LogitSample& sample = step.sample;
  const std::size_t picks =
      static_cast<std::size_t>(sample.tokens) * static_cast<std::size_t>(slots);
  HostPicks host{.expert = std::vector<std::int32_t>(picks),
                 .counts = std::vector<std::int32_t>(static_cast<std::size_t>(sample.experts))};
  std::vector<float> weight(picks);
  const RouterView view(router, layer);
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, view, sample.tokens, slots));
  const StepState state{.step = step.step};
  topk_route(Backend::kCpu,
             {.logits = sample.layer(layer).data(),
              .tokens = sample.tokens,
              .router = view,
              .plan = step.plan.view(layer),
              .step = &state,
              .expert = host.expert.data(),
              .weight = weight.data(),
              .slots = slots,
              .counts = host.counts.data(),
              .workspace = workspace.data(),
              .workspace_size = workspace.size()},
             Stream{nullptr});
  return host;
}

/// p in float64, without softmax's denominator: that has no near ties.
double score_of(ScoreFunction score, double logit) {
  return score == ScoreFunction::kSigmoid ? 1.0 / (1.0 + std::exp(-logit))
                                          : std::sqrt(std::log1p(std::exp(logit)));
}

/// Compares one layer of a step.
class LayerCheck {
 public:
  LayerCheck(const StagedStep& step, const RouterSpec& router, const RoutedPicks& picks, int layer)
      : step_(step),
        router_(router),
        picks_(picks),
        layer_(layer),
        logits_(step.sample.layer(layer)),
        beta_(router.layer_bias(layer)),
        bias_(step.plan.selection_bias(layer)),
        host_(route_layer(step, router, layer, picks.slots)) {}

  /// How many picks differ between experts that are near ties.
  std::uint64_t run() const {
    std::uint64_t near_ties = 0;
    for (int t = 0; t < picks_.tokens; ++t) {
      for (int s = 0; s < picks_.slots; ++s) {
        const std::int32_t host = host_.expert[index(t, s)];
        const std::int32_t load = load_expert(t, s);
        if (host == load) continue;
        if (!near_tie(t, host, load)) fail(t);
        ++near_ties;
      }
    }
    check_counts();
    return near_ties;
  }

 private:
  std::size_t index(int t, int s) const {
    return static_cast<std::size_t>(t) * static_cast<std::size_t>(picks_.slots) +
           static_cast<std::size_t>(s);
  }
  std::int32_t load_expert(int t, int s) const {
    return picks_.expert[index(layer_ * picks_.tokens + t, s)];
  }

  bool near_tie(int t, std::int32_t a, std::int32_t b) const {
    if (router_.score == ScoreFunction::kSoftmax) return false;
    if (a < 0 || b < 0 || b >= picks_.experts) return false;
    const auto selection = [&](std::int32_t e) {
      const auto i = static_cast<std::size_t>(e);
      const double logit = logits_[static_cast<std::size_t>(t) * picks_.experts + i];
      return score_of(router_.score, logit) + (beta_.empty() ? 0.0F : beta_[i]);
    };
    // A plan's bias counts in units of the token's own; only equal ones leave a tie one.
    return bias_[static_cast<std::size_t>(a)] == bias_[static_cast<std::size_t>(b)] &&
           std::abs(selection(a) - selection(b)) <= kNearTie;
  }

  /// Of the load's own picks.
  void check_counts() const {
    std::vector<std::int32_t> counted(static_cast<std::size_t>(picks_.experts), 0);
    for (int t = 0; t < picks_.tokens; ++t) {
      for (int s = 0; s < picks_.slots; ++s) {
        if (load_expert(t, s) >= 0) ++counted[static_cast<std::size_t>(load_expert(t, s))];
      }
    }
    for (int e = 0; e < picks_.experts; ++e) {
      const std::size_t at = static_cast<std::size_t>(layer_) * picks_.experts + e;
      const std::int32_t expected = counted[static_cast<std::size_t>(e)];
      if (picks_.counts[at] == expected) continue;
      throw Error(
          fmt::format("under plan {} layer {} counted {} tokens of expert {}; {} were routed to it",
                      picks_.plan_version, layer_, picks_.counts[at], e, expected));
    }
  }

  [[noreturn]] void fail(int t) const {
    const auto list = [&](const std::int32_t* expert) {
      std::string text;
      for (int s = 0; s < picks_.slots; ++s) {
        if (expert[s] >= 0) text += fmt::format("{}{}", text.empty() ? "" : " ", expert[s]);
      }
      return text.empty() ? std::string("none") : text;
    };
    throw Error(fmt::format(
        "CPU and load route differently under plan {}, layer {}, token {}, step {}: the CPU picks "
        "experts {}, the load {}",
        picks_.plan_version, layer_, t, step_.step, list(&host_.expert[index(t, 0)]),
        list(&picks_.expert[index(layer_ * picks_.tokens + t, 0)])));
  }

  const StagedStep& step_;
  const RouterSpec& router_;
  const RoutedPicks& picks_;
  const int layer_;
  const std::span<const float> logits_;
  const std::span<const float> beta_;
  const std::span<const float> bias_;
  const HostPicks host_;
};

void check_shapes(const StagedStep& step, const RoutedPicks& picks) {
  const LogitSample& sample = step.sample;
  THERMOE_EXPECT(sample.layers == picks.layers && sample.tokens == picks.tokens &&
                     sample.experts == picks.experts,
                 "picks of {} layers x {} tokens x {} experts for a step of {}x{}x{}", picks.layers,
                 picks.tokens, picks.experts, sample.layers, sample.tokens, sample.experts);
  const auto rows = static_cast<std::size_t>(picks.layers);
  THERMOE_EXPECT(
      picks.expert.size() == rows * static_cast<std::size_t>(picks.tokens * picks.slots) &&
          picks.counts.size() == rows * static_cast<std::size_t>(picks.experts),
      "{} ids and {} counts are not of such a step", picks.expert.size(), picks.counts.size());
}

}  // namespace

std::uint64_t check_routing(const StagedStep& step, const RouterSpec& router,
                            const RoutedPicks& picks) {
  check_shapes(step, picks);
  const std::uint64_t version = step.plan.header().version;
  if (picks.plan_version != version) {
    throw Error(fmt::format("the load routed by plan {}; the step was decided under plan {}",
                            picks.plan_version, version));
  }
  std::uint64_t near_ties = 0;
  for (int layer = 0; layer < picks.layers; ++layer) {
    near_ties += LayerCheck(step, router, picks, layer).run();
  }
  return near_ties;
}

}  // namespace thermoe
