// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "control/convex_curve.h"

namespace thermoe {

/// One C_r of docs/theory.md eq. (2) with phi_r = max(0, C_r - cap), w_r = price_ceiling: a cap
/// that is held unless that costs more than the ceiling a unit.
///   C = constant + sum over layers of (sum over experts of curve(n), or with devices the largest
///   of the devices' sums: all wait for the slowest).
struct CappedResource {
  double cap = 0.0;
  double constant = 0.0;
  double price_ceiling = 0.0;
  std::vector<ConvexCurve> curves{};
  std::vector<std::uint8_t> curve_of{};   ///< [layers, experts]; empty: the first for all
  std::vector<std::uint8_t> device_of{};  ///< [experts] each layer waits for the slowest of these
};

/// Multipliers of the hardware term F of docs/theory.md eq. (2), and prices b that belong to them:
/// b_e in nu + sum_r theta dc_re.
struct HardwarePrices {
  std::vector<double> shift{};     ///< [layers] nu, of sum_e n_e = k T: common to a layer's experts
  std::vector<double> resource{};  ///< [resources] lambda
  std::vector<double> device{};    ///< [layers, devices of all resources] theta, sums to lambda
  std::vector<double> bias{};      ///< [layers, experts] b
};

/// (P) on frozen scores.
struct PriceProblem {
  int layers = 0, tokens = 0, experts = 0, k = 0;
  /// [layers, tokens, experts] v of eq. (1), -infinity out of a token's reach.
  std::span<const float> scores{};
  double tau = 0.0;
  std::vector<CappedResource> resources{};
};

struct PriceSolverOptions {
  /// Largest gap between primal and dual, a token and layer (in units of u).
  double gap = 1e-4;
  int max_sweeps = 1000;
  int threads = 1;
};

struct ShadowPrices {
  std::vector<double> price{};  ///< [layers, experts] b of eq. (5), the one that KKT asks for
  std::vector<double> load{};   ///< [layers, experts] n
  std::vector<double> resource_price{};  ///< lambda_r
  std::vector<double> resource_use{};    ///< C_r(n)
  std::vector<bool> held{};              ///< C_r(n) <= cap_r
  double primal = 0.0, dual = 0.0;       ///< of the whole batch; gap() a token and layer
  std::size_t rows = 0;
  int sweeps = 0;          ///< over all entries
  bool converged = false;  ///< the gap was reached, with every cap held that can be
  double gap() const { return (primal - dual) / static_cast<double>(rows); }
  bool feasible() const { return std::find(held.begin(), held.end(), false) == held.end(); }
};

/// Where an earlier call ended; a start for one on like scores and costs.
struct WarmStart {
  HardwarePrices prices{};
  double metric_scale = 1.0;
};

/// Proximal gradient on the dual of (P), in the metric of the curvature's diagonal (docs/theory.md
/// eq. (26) and (27)). `warm` is read and left for the next call. Requires a problem that
/// is one.
ShadowPrices solve_prices(const PriceProblem& problem, const PriceSolverOptions& options,
                          WarmStart& warm);

}  // namespace thermoe
