// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "closed_loop.h"
#include "control/kernel_aware_ttha.h"

namespace thermoe::testing {

/// Tokens of a step, all streams together.
inline constexpr int kTokens = 16;
/// The power cap of most loops: three quarters of what plain top-8 of 128 experts draws.
inline constexpr double kCap = 350.0;

/// The model whose routing is controlled.
struct RoutedModel {
  int layers = 2;
  int experts = 128;
  int k = 8;
};

/// What a controller of it is told: KERNEL_AWARE_TTHA by the dual alone, costs and heat like the
/// H100's, no calibration.
inline ControllerConfig dual_config(const Targets& targets, const RoutedModel& model = {}) {
  return {.strategy = Strategy::kKernelAwareTtha,
          .mode = TthaMode::kDualOnly,
          .targets = targets,
          .layers = model.layers,
          .router = {.experts = model.experts, .k = model.k},
          .step_period = Seconds(0.016),
          .thermal = {Celsius(42.0), KelvinPerWatt(0.047), Seconds(8.0)},
          .costs = h100_like(model.layers)};
}

/// Adds calibration samples with the experts' popularity that run_loop draws for the same seed.
inline void calibrate(ControllerConfig& config, std::uint32_t seed, int samples) {
  LogitSource source(config.layers, kTokens, config.router.experts, seed);
  for (int i = 0; i < samples; ++i) config.calibration.push_back(source.next());
}

/// A tenant of 60 W and 15 % of the bandwidth.
inline Plant with_tenant(double from, double to, Plant plant = {}) {
  plant.tenant_from = Seconds(from);
  plant.tenant_to = Seconds(to);
  return plant;
}

/// A loop under KERNEL_AWARE_TTHA with an adapter of the test's own, or none.
inline std::vector<TruthTick> run_ttha(const ControllerConfig& config, const Plant& plant,
                                       double seconds, std::uint32_t seed,
                                       const Sabotage& sabotage = {},
                                       std::unique_ptr<PlanAdapter> adapter = nullptr) {
  KernelAwareTtha controller(config, std::move(adapter));
  return run_loop(controller, config, plant, seconds, seed, sabotage);
}

}  // namespace thermoe::testing
