// SPDX-License-Identifier: Apache-2.0
#include "control/proximal_step.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "control/bordered_system.h"

namespace thermoe {
namespace {

/// The small problem's dual at some multipliers: loads, value, gradient and curvature.
struct Model {
  double value = 0.0;
  std::vector<double> load{};       ///< [cells] m
  std::vector<double> excess{};     ///< [layers] sum_e m_e - k T
  std::vector<double> use{};        ///< [layers, slots] costs of a device
  std::vector<double> curvature{};  ///< [layers, 1 + slots, 1 + slots]
};

/// Newton on the multipliers of docs/theory.md eq. (27), which bound theta >= 0 and lambda <= w.
class Newton {
 public:
  /// `centre` = n + M (old b).
  Newton(const HardwareTerm& term, std::span<const double> centre, std::span<const double> metric,
         std::span<const double> slack)
      : term_(term), centre_(centre), metric_(metric), slack_(slack) {}

  /// Least over m of the Lagrangian.
  void evaluate(const HardwarePrices& p, Model& m) const;
  /// The way to go; nothing where the equations are singular.
  bool direction(const HardwarePrices& p, const Model& m, HardwarePrices& d) const;
  /// By how much the dual rises along d, to first order.
  double gain(const HardwarePrices& d, const Model& m) const;
  /// How far along d the multipliers stay within their bounds, at most 1.
  double room(const HardwarePrices& p, const HardwarePrices& d) const;

 private:
  /// Which multipliers take part.
  struct Movable {
    std::vector<std::uint8_t> theta{};   ///< [layers, slots]
    std::vector<std::uint8_t> lambda{};  ///< [resources]
  };
  void add_cell(const HardwarePrices& p, std::size_t cell, Model& m) const;
  double unspent(std::size_t r) const {
    return term_.resources()[r].constant - term_.resources()[r].cap + slack_[r];
  }
  Movable movable(const HardwarePrices& p, const Model& m) const;
  std::vector<std::size_t> unknowns(std::size_t layer, const Movable& movable) const;
  BorderedSystem::Block block(std::size_t layer, const std::vector<std::size_t>& unknowns,
                              const Model& m) const;
  bool carried(std::size_t r, const Movable& movable) const;
  bool pin(const HardwarePrices& p, const HardwarePrices& d, Movable& movable) const;
  std::size_t width() const { return 1 + term_.slots(); }

  const HardwareTerm& term_;
  std::span<const double> centre_, metric_, slack_;
};

void Newton::evaluate(const HardwarePrices& p, Model& m) const {
  m.value = 0.0;
  m.load.resize(term_.cells());
  m.excess.assign(p.shift.size(), -term_.picks());
  m.use.assign(p.device.size(), 0.0);
  m.curvature.assign(p.shift.size() * width() * width(), 0.0);
  for (std::size_t cell = 0; cell < term_.cells(); ++cell) add_cell(p, cell, m);
  for (const double nu : p.shift) m.value -= nu * term_.picks();
  for (std::size_t r = 0; r < p.resource.size(); ++r) m.value += p.resource[r] * unspent(r);
}

void Newton::add_cell(const HardwarePrices& p, std::size_t cell, Model& m) const {
  const HardwareTerm::Curves& c = term_.curves(cell);
  const std::size_t n = p.resource.size(), slots = term_.slots();
  const std::size_t l = cell / term_.experts(), e = cell % term_.experts();
  const double y = centre_[cell] - metric_[cell] * p.shift[l];
  double load = 0.0;
  bool inside = true;
  std::size_t j = 0;
  for (;; ++j) {
    load = y - metric_[cell] * term_.slope(p, cell, j);
    if (j > 0 && load < c.corner[j]) load = c.corner[j], inside = false;
    if (!inside || j + 1 == c.corner.size() || load <= c.corner[j + 1]) break;
  }
  m.load[cell] = load;
  m.excess[l] += load;
  m.value += 0.5 * (load - y) * (load - y) / metric_[cell] - 0.5 * y * y / metric_[cell];
  double* h = &m.curvature[l * width() * width()];
  if (inside) h[0] += metric_[cell];
  for (std::size_t r = 0; r < n; ++r) {
    const double s = c.slope[j * n + r], cost = c.value[j * n + r] + s * (load - c.corner[j]);
    const std::size_t at = term_.slot(r, e);
    m.use[l * slots + at] += cost;
    m.value += p.device[l * slots + at] * cost;
    if (!inside) continue;
    h[1 + at] += metric_[cell] * s;
    h[(1 + at) * width()] += metric_[cell] * s;
    for (std::size_t q = 0; q < n; ++q) {
      h[(1 + at) * width() + 1 + term_.slot(q, e)] += metric_[cell] * s * c.slope[j * n + q];
    }
  }
}

double Newton::gain(const HardwarePrices& d, const Model& m) const {
  double gain = 0.0;
  for (std::size_t l = 0; l < d.shift.size(); ++l) gain += d.shift[l] * m.excess[l];
  for (std::size_t s = 0; s < d.device.size(); ++s) gain += d.device[s] * m.use[s];
  for (std::size_t r = 0; r < d.resource.size(); ++r) gain += d.resource[r] * unspent(r);
  return gain;
}

double Newton::room(const HardwarePrices& p, const HardwarePrices& d) const {
  double most = 1.0;
  for (std::size_t i = 0; i < p.device.size(); ++i) {
    if (d.device[i] < 0.0) most = std::min(most, p.device[i] / -d.device[i]);
  }
  for (std::size_t r = 0; r < p.resource.size(); ++r) {
    if (d.resource[r] > 0.0) {
      most = std::min(most, (term_.resources()[r].ceiling - p.resource[r]) / d.resource[r]);
    }
  }
  return most;
}

/// Those theta above 0 and, where a device's costs are the largest, its own. None of a resource
/// that has no price and wants none.
Newton::Movable Newton::movable(const HardwarePrices& p, const Model& m) const {
  Movable movable{.theta = std::vector<std::uint8_t>(p.device.size(), 0),
                  .lambda = std::vector<std::uint8_t>(p.resource.size(), 0)};
  for (std::size_t r = 0; r < p.resource.size(); ++r) {
    const HardwareTerm::Resource& resource = term_.resources()[r];
    double total = unspent(r);
    std::vector<std::size_t> slowest;
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      const auto first =
          m.use.begin() + static_cast<std::ptrdiff_t>(l * term_.slots() + resource.first);
      const auto most =
          std::max_element(first, first + static_cast<std::ptrdiff_t>(resource.slots));
      total += *most;
      slowest.push_back(static_cast<std::size_t>(most - m.use.begin()));
    }
    if (p.resource[r] <= 0.0 && total <= 0.0) continue;
    movable.lambda[r] = 1;
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      movable.theta[slowest[l]] = 1;
      for (std::size_t d = 0; d < resource.slots; ++d) {
        const std::size_t at = l * term_.slots() + resource.first + d;
        if (p.device[at] > 0.0) movable.theta[at] = 1;
      }
    }
  }
  return movable;
}

/// Of a layer: 0 is its nu, 1 + slot a theta.
std::vector<std::size_t> Newton::unknowns(std::size_t layer, const Movable& movable) const {
  std::vector<std::size_t> unknowns = {0};
  for (std::size_t s = 0; s < term_.slots(); ++s) {
    if (movable.theta[layer * term_.slots() + s]) unknowns.push_back(1 + s);
  }
  return unknowns;
}

/// A layer's equations: its curvature, and that its theta of a resource sum to lambda.
BorderedSystem::Block Newton::block(std::size_t layer, const std::vector<std::size_t>& unknowns,
                                    const Model& m) const {
  const std::vector<HardwareTerm::Resource>& resources = term_.resources();
  const auto is_of = [&](std::size_t unknown, std::size_t r) {
    return unknown > resources[r].first && unknown <= resources[r].first + resources[r].slots;
  };
  std::vector<std::size_t> sums;
  for (std::size_t r = 0; r < resources.size(); ++r) {
    const auto of_r = [&](std::size_t u) { return is_of(u, r); };
    if (std::any_of(unknowns.begin(), unknowns.end(), of_r)) sums.push_back(r);
  }
  const double* h = &m.curvature[layer * width() * width()];
  const std::size_t own = unknowns.size();
  BorderedSystem::Block block(own + sums.size(), resources.size());
  for (std::size_t i = 0; i < own; ++i) {
    const std::size_t u = unknowns[i];
    for (std::size_t j = 0; j < own; ++j) block.at(i, j) = h[u * width() + unknowns[j]];
    // A device all of whose experts sit on corners has no curvature.
    block.at(i, i) += 1e-12 * (1.0 + h[u * width() + u]);
    block.right(i) = u == 0 ? m.excess[layer] : m.use[layer * term_.slots() + u - 1];
    for (std::size_t q = 0; q < sums.size(); ++q) {
      if (is_of(u, sums[q])) block.at(i, own + q) = block.at(own + q, i) = 1.0;
    }
  }
  for (std::size_t q = 0; q < sums.size(); ++q) block.border(own + q, sums[q]) = -1.0;
  return block;
}

/// Every layer has a theta that can follow lambda.
bool Newton::carried(std::size_t r, const Movable& movable) const {
  const HardwareTerm::Resource& resource = term_.resources()[r];
  for (std::size_t l = 0; l < term_.layers(); ++l) {
    const auto first =
        movable.theta.begin() + static_cast<std::ptrdiff_t>(l * term_.slots() + resource.first);
    if (std::count(first, first + static_cast<std::ptrdiff_t>(resource.slots), 1) == 0)
      return false;
  }
  return true;
}

/// What sits on its bound and wants beyond it takes no part after all. True if there was such.
bool Newton::pin(const HardwarePrices& p, const HardwarePrices& d, Movable& movable) const {
  bool any = false;
  for (std::size_t i = 0; i < p.device.size(); ++i) {
    if (movable.theta[i] && p.device[i] <= 0.0 && d.device[i] < 0.0)
      movable.theta[i] = 0, any = true;
  }
  for (std::size_t r = 0; r < p.resource.size(); ++r) {
    const bool at_ceiling = p.resource[r] >= term_.resources()[r].ceiling;
    if (any && !carried(r, movable)) movable.lambda[r] = 0;
    if (movable.lambda[r] && at_ceiling && d.resource[r] > 0.0) movable.lambda[r] = 0, any = true;
  }
  return any;
}

bool Newton::direction(const HardwarePrices& p, const Model& m, HardwarePrices& d) const {
  const std::size_t layers = p.shift.size(), slots = term_.slots();
  Movable movable = this->movable(p, m);
  for (int attempt = 0; attempt < 8; ++attempt) {
    BorderedSystem system(p.resource.size());
    for (std::size_t r = 0; r < p.resource.size(); ++r) {
      if (movable.lambda[r]) system.set_border(r, unspent(r));
    }
    for (std::size_t l = 0; l < layers; ++l) system.add(block(l, unknowns(l, movable), m));
    const auto solution = system.solve();
    if (!solution) return false;
    d.device.assign(p.device.size(), 0.0);
    d.resource = solution->border;
    for (std::size_t l = 0; l < layers; ++l) {
      const std::vector<std::size_t> moved = unknowns(l, movable);
      d.shift[l] = solution->blocks[l][0];
      for (std::size_t i = 1; i < moved.size(); ++i) {
        d.device[l * slots + moved[i] - 1] = solution->blocks[l][i];
      }
    }
    if (!pin(p, d, movable)) return true;
  }
  return false;
}

/// `length` along d, what is no more than rounding put to 0.
void move(const HardwarePrices& from, const HardwarePrices& d, double length, HardwarePrices& to) {
  for (std::size_t l = 0; l < d.shift.size(); ++l)
    to.shift[l] = from.shift[l] + length * d.shift[l];
  for (std::size_t s = 0; s < d.device.size(); ++s) {
    const double moved = from.device[s] + length * d.device[s];
    to.device[s] = moved > 1e-15 * from.device[s] ? moved : 0.0;
  }
  for (std::size_t r = 0; r < d.resource.size(); ++r) {
    to.resource[r] = std::max(0.0, from.resource[r] + length * d.resource[r]);
  }
}

}  // namespace

HardwarePrices proximal_step(const HardwareTerm& term, const HardwarePrices& old,
                             std::span<const double> load, std::span<const double> metric,
                             std::span<const double> slack) {
  std::vector<double> centre(term.cells());
  for (std::size_t i = 0; i < centre.size(); ++i) centre[i] = load[i] + metric[i] * old.bias[i];
  const Newton newton(term, centre, metric, slack);
  HardwarePrices at = old, d = term.free(), next = old;
  Model model, tried;
  newton.evaluate(at, model);
  for (int i = 0; i < 100; ++i) {
    if (!newton.direction(at, model, d)) break;
    const double gain = newton.gain(d, model);
    if (!(gain > 1e-15 * (std::abs(model.value) + term.picks() * 1e-3))) break;
    double length = newton.room(at, d);
    for (int half = 0; half < 40; ++half, length *= 0.5) {
      move(at, d, length, next);
      newton.evaluate(next, tried);
      if (tried.value >= model.value + 1e-4 * length * gain) break;
    }
    if (!(tried.value > model.value)) break;
    std::swap(at, next);
    std::swap(model, tried);
  }
  for (std::size_t i = 0; i < centre.size(); ++i) {
    at.bias[i] = old.bias[i] + (load[i] - model.load[i]) / metric[i];
  }
  term.admit(at);
  return at;
}

}  // namespace thermoe
