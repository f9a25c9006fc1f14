// SPDX-License-Identifier: Apache-2.0
#include "control/proximal_loads.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "control/bordered_system.h"
#include "core/errors.h"

namespace thermoe {

/// The small problem's dual at some multipliers: loads, value, gradient and curvature.
struct ProximalLoads::Model {
  std::vector<double> load{};       ///< [cells] m
  std::vector<double> excess{};     ///< [layers] sum_e m_e - k T
  std::vector<double> use{};        ///< [layers, slots] costs of a device
  std::vector<double> curvature{};  ///< [layers, 1 + slots, 1 + slots]
};

ProximalLoads::ProximalLoads(const PriceProblem& p)
    : layers_(p.layers), experts_(p.experts), picks_(static_cast<double>(p.k) * p.tokens) {
  for (const CappedResource& given : p.resources) {
    THERMOE_EXPECT(std::isfinite(given.cap) && std::isfinite(given.constant) &&
                       std::isfinite(given.price_ceiling) && given.price_ceiling > 0.0,
                   "cap={}, constant={}, price ceiling={}: must be finite, the ceiling above 0",
                   given.cap, given.constant, given.price_ceiling);
    const auto e = static_cast<std::size_t>(experts_);
    THERMOE_EXPECT(
        !given.curves.empty() && (given.curve_of.empty() || given.curve_of.size() == cells()) &&
            (given.device_of.empty() || given.device_of.size() == e),
        "resource: {} curves, {} curve numbers, {} device numbers for {} layers of {} "
        "experts",
        given.curves.size(), given.curve_of.size(), given.device_of.size(), layers_, experts_);
    Resource r{.cap = given.cap,
               .constant = given.constant,
               .ceiling = given.price_ceiling,
               .device_of = given.device_of,
               .first = slots_};
    if (r.device_of.empty()) r.device_of.assign(e, 0);
    r.slots = std::size_t{*std::max_element(r.device_of.begin(), r.device_of.end())} + 1;
    slots_ += r.slots;
    resources_.push_back(std::move(r));
  }
  merge_curves(p);
}

void ProximalLoads::merge_curves(const PriceProblem& p) {
  std::map<std::vector<std::uint8_t>, std::size_t> known;
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    std::vector<std::uint8_t> key;
    for (const CappedResource& r : p.resources) {
      key.push_back(r.curve_of.empty() ? 0 : r.curve_of[cell]);
      THERMOE_EXPECT(key.back() < r.curves.size(), "cell {} has curve {} of {}", cell, key.back(),
                     r.curves.size());
    }
    const auto [at, fresh] = known.try_emplace(key, kinds_.size());
    kind_.push_back(at->second);
    if (!fresh) continue;
    Curves merged{.corner = {0.0}};
    for (std::size_t r = 0; r < key.size(); ++r) {
      const ConvexCurve& c = p.resources[r].curves[key[r]];
      merged.corner.insert(merged.corner.end(), c.corner.begin(), c.corner.end());
    }
    std::sort(merged.corner.begin(), merged.corner.end());
    merged.corner.erase(std::unique(merged.corner.begin(), merged.corner.end()),
                        merged.corner.end());
    for (const double x : merged.corner) {
      for (std::size_t r = 0; r < key.size(); ++r) {
        const ConvexCurve& c = p.resources[r].curves[key[r]];
        const auto s = std::upper_bound(c.corner.begin() + 1, c.corner.end(), x) - c.corner.begin();
        merged.slope.push_back(c.slope[static_cast<std::size_t>(s) - 1]);
        merged.value.push_back(c.at(x));
      }
    }
    kinds_.push_back(std::move(merged));
  }
}

HardwarePrices ProximalLoads::free() const {
  return {.shift = std::vector<double>(static_cast<std::size_t>(layers_), 0.0),
          .resource = std::vector<double>(resources_.size(), 0.0),
          .device = std::vector<double>(static_cast<std::size_t>(layers_) * slots_, 0.0),
          .bias = std::vector<double>(cells(), 0.0)};
}

bool ProximalLoads::fits(const HardwarePrices& p) const {
  return p.shift.size() == static_cast<std::size_t>(layers_) &&
         p.resource.size() == resources_.size() && p.device.size() == p.shift.size() * slots_ &&
         p.bias.size() == cells();
}

void ProximalLoads::admit(HardwarePrices& p) const {
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    const double within = std::clamp(p.resource[r], 0.0, resources_[r].ceiling);
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      double* theta = &p.device[l * slots_ + resources_[r].first];
      double sum = 0.0;
      for (std::size_t d = 0; d < resources_[r].slots; ++d) sum += theta[d];
      for (std::size_t d = 0; d < resources_[r].slots; ++d) {
        theta[d] =
            sum > 0.0 ? theta[d] * within / sum : within / static_cast<double>(resources_[r].slots);
      }
    }
    p.resource[r] = within;
  }
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    const double nu = p.shift[cell / static_cast<std::size_t>(experts_)];
    const std::size_t last = kinds_[kind_[cell]].corner.size() - 1;
    p.bias[cell] = nu + std::clamp(p.bias[cell] - nu, slope(p, cell, 0), slope(p, cell, last));
  }
}

double ProximalLoads::slope(const HardwarePrices& p, std::size_t cell, std::size_t j) const {
  const std::size_t n = resources_.size(), e = cell % static_cast<std::size_t>(experts_);
  const double* theta = p.device.data() + cell / static_cast<std::size_t>(experts_) * slots_;
  const double* slopes = kinds_[kind_[cell]].slope.data() + j * n;
  double sum = 0.0;
  for (std::size_t r = 0; r < n; ++r) sum += theta[slot(r, e)] * slopes[r];
  return sum;
}

double ProximalLoads::conjugate(const HardwarePrices& p) const {
  const auto experts = static_cast<std::size_t>(experts_);
  double sum = 0.0;
  for (const double nu : p.shift) sum += nu * picks_;
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    const Curves& c = kinds_[kind_[cell]];
    const double own = p.bias[cell] - p.shift[cell / experts];
    std::size_t j = 0;
    while (j + 1 < c.corner.size() && slope(p, cell, j) < own) ++j;
    sum += own * c.corner[j];
    const double* theta = p.device.data() + cell / experts * slots_;
    for (std::size_t r = 0; r < resources_.size(); ++r) {
      sum -= theta[slot(r, cell % experts)] * c.value[j * resources_.size() + r];
    }
  }
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    sum += p.resource[r] * (resources_[r].cap - resources_[r].constant);
  }
  return sum;
}

std::vector<double> ProximalLoads::use(std::span<const double> load) const {
  const auto experts = static_cast<std::size_t>(experts_);
  std::vector<double> total;
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    double sum = resources_[r].constant;
    for (std::size_t l = 0; l < static_cast<std::size_t>(layers_); ++l) {
      std::vector<double> device(resources_[r].slots, 0.0);
      for (std::size_t e = 0; e < experts; ++e) {
        const std::size_t cell = l * experts + e;
        const Curves& c = kinds_[kind_[cell]];
        const auto above = std::upper_bound(c.corner.begin() + 1, c.corner.end(), load[cell]);
        const auto j = static_cast<std::size_t>(above - c.corner.begin()) - 1;
        const std::size_t at = j * resources_.size() + r;
        device[resources_[r].device_of[e]] +=
            c.value[at] + c.slope[at] * (load[cell] - c.corner[j]);
      }
      sum += *std::max_element(device.begin(), device.end());
    }
    total.push_back(sum);
  }
  return total;
}

double ProximalLoads::excess(std::span<const double> use) const {
  double sum = 0.0;
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    sum += resources_[r].ceiling * std::max(0.0, use[r] - resources_[r].cap);
  }
  return sum;
}

std::vector<double> ProximalLoads::shadow(const HardwarePrices& p) const {
  std::vector<double> own = p.bias;
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    own[cell] -= p.shift[cell / static_cast<std::size_t>(experts_)];
  }
  return own;
}

/// Value of the small problem's dual: least over m of its Lagrangian, `centre` = n + M (old b).
double ProximalLoads::evaluate(const HardwarePrices& p, std::span<const double> centre,
                               std::span<const double> metric, std::span<const double> slack,
                               Model& m) const {
  const auto experts = static_cast<std::size_t>(experts_);
  const std::size_t n = resources_.size(), width = 1 + slots_;
  m.load.resize(cells());
  m.excess.assign(p.shift.size(), -picks_);
  m.use.assign(p.device.size(), 0.0);
  m.curvature.assign(p.shift.size() * width * width, 0.0);
  double value = 0.0;
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    const Curves& c = kinds_[kind_[cell]];
    const std::size_t l = cell / experts, e = cell % experts;
    const double y = centre[cell] - metric[cell] * p.shift[l];
    double load = 0.0;
    bool inside = true;
    std::size_t j = 0;
    for (;; ++j) {
      load = y - metric[cell] * slope(p, cell, j);
      if (j > 0 && load < c.corner[j]) load = c.corner[j], inside = false;
      if (!inside || j + 1 == c.corner.size() || load <= c.corner[j + 1]) break;
    }
    m.load[cell] = load;
    m.excess[l] += load;
    value += 0.5 * (load - y) * (load - y) / metric[cell] - 0.5 * y * y / metric[cell];
    double* h = &m.curvature[l * width * width];
    if (inside) h[0] += metric[cell];
    for (std::size_t r = 0; r < n; ++r) {
      const double s = c.slope[j * n + r], cost = c.value[j * n + r] + s * (load - c.corner[j]);
      const std::size_t at = slot(r, e);
      m.use[l * slots_ + at] += cost;
      value += p.device[l * slots_ + at] * cost;
      if (!inside) continue;
      h[1 + at] += metric[cell] * s;
      h[(1 + at) * width] += metric[cell] * s;
      for (std::size_t q = 0; q < n; ++q) {
        h[(1 + at) * width + 1 + slot(q, e)] += metric[cell] * s * c.slope[j * n + q];
      }
    }
  }
  for (const double nu : p.shift) value -= nu * picks_;
  for (std::size_t r = 0; r < n; ++r) {
    value += p.resource[r] * (resources_[r].constant - resources_[r].cap + slack[r]);
  }
  return value;
}

/// Which theta may move, [layers, slots]: those above 0 and, where a device's costs are the
/// largest, its own. None of a resource that has no price and wants none.
std::vector<std::uint8_t> ProximalLoads::free_slots(const HardwarePrices& p,
                                                    std::span<const double> slack,
                                                    const Model& m) const {
  std::vector<std::uint8_t> movable(p.device.size(), 0);
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    const Resource& resource = resources_[r];
    double total = resource.constant - resource.cap + slack[r];
    std::vector<std::size_t> slowest;
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      const auto first = m.use.begin() + static_cast<std::ptrdiff_t>(l * slots_ + resource.first);
      const auto most =
          std::max_element(first, first + static_cast<std::ptrdiff_t>(resource.slots));
      total += *most;
      slowest.push_back(static_cast<std::size_t>(most - m.use.begin()));
    }
    if (p.resource[r] <= 0.0 && total <= 0.0) continue;
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      movable[slowest[l]] = 1;
      for (std::size_t d = 0; d < resource.slots; ++d) {
        const std::size_t at = l * slots_ + resource.first + d;
        if (p.device[at] > 0.0) movable[at] = 1;
      }
    }
  }
  return movable;
}

/// How far along d the multipliers stay within their bounds, at most 1.
double ProximalLoads::room(const HardwarePrices& p, const HardwarePrices& d) const {
  double most = 1.0;
  for (std::size_t i = 0; i < p.device.size(); ++i) {
    if (d.device[i] < 0.0) most = std::min(most, p.device[i] / -d.device[i]);
  }
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    if (d.resource[r] > 0.0) {
      most = std::min(most, (resources_[r].ceiling - p.resource[r]) / d.resource[r]);
    }
  }
  return most;
}

/// Newton's direction on the multipliers that may move, with each layer's theta summing to lambda.
bool ProximalLoads::direction(const HardwarePrices& p, std::span<const double> slack,
                              const Model& m, HardwarePrices& d) const {
  const std::size_t n = resources_.size(), width = 1 + slots_;
  std::vector<std::uint8_t> movable = free_slots(p, slack, m);
  std::vector<std::uint8_t> stuck(n, 0);
  for (int attempt = 0; attempt < 8; ++attempt) {
    BorderedSystem system(n);
    for (std::size_t r = 0; r < n; ++r) {
      const Resource& resource = resources_[r];
      bool any = false;
      for (std::size_t i = 0; i < resource.slots; ++i) any = any || movable[resource.first + i];
      if (any && !stuck[r]) {
        system.set_border(r, resource.constant - resource.cap + slack[r]);
      }
    }
    std::vector<std::vector<std::size_t>> moved(p.shift.size());
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      const double* h = &m.curvature[l * width * width];
      std::vector<std::size_t>& own = moved[l];
      own.push_back(0);
      for (std::size_t s = 0; s < slots_; ++s) {
        if (movable[l * slots_ + s]) own.push_back(1 + s);
      }
      std::vector<std::size_t> sums;
      for (std::size_t r = 0; r < n; ++r) {
        const auto of_r = [&](std::size_t v) {
          return v > resources_[r].first && v <= resources_[r].first + resources_[r].slots;
        };
        if (std::any_of(own.begin(), own.end(), of_r)) sums.push_back(r);
      }
      BorderedSystem::Block block(own.size() + sums.size(), n);
      for (std::size_t i = 0; i < own.size(); ++i) {
        for (std::size_t j = 0; j < own.size(); ++j) block.at(i, j) = h[own[i] * width + own[j]];
        // A device all of whose experts sit on corners has no curvature.
        block.at(i, i) += 1e-12 * (1.0 + h[own[i] * width + own[i]]);
        block.right(i) = own[i] == 0 ? m.excess[l] : m.use[l * slots_ + own[i] - 1];
        for (std::size_t q = 0; q < sums.size(); ++q) {
          const Resource& r = resources_[sums[q]];
          if (own[i] <= r.first || own[i] > r.first + r.slots) continue;
          block.at(i, own.size() + q) = block.at(own.size() + q, i) = 1.0;
        }
      }
      for (std::size_t q = 0; q < sums.size(); ++q) block.border(own.size() + q, sums[q]) = -1.0;
      system.add(std::move(block));
    }
    const auto solution = system.solve();
    if (!solution) return false;
    d.shift.assign(p.shift.size(), 0.0);
    d.device.assign(p.device.size(), 0.0);
    d.resource = solution->border;
    for (std::size_t l = 0; l < p.shift.size(); ++l) {
      d.shift[l] = solution->blocks[l][0];
      for (std::size_t i = 1; i < moved[l].size(); ++i) {
        d.device[l * slots_ + moved[l][i] - 1] = solution->blocks[l][i];
      }
    }
    // What sits on its bound and wants beyond it may not move after all.
    bool again = false;
    for (std::size_t i = 0; i < movable.size(); ++i) {
      if (movable[i] && p.device[i] <= 0.0 && d.device[i] < 0.0) movable[i] = 0, again = true;
    }
    for (std::size_t r = 0; r < n; ++r) {
      if (!stuck[r] && p.resource[r] >= resources_[r].ceiling && d.resource[r] > 0.0) {
        stuck[r] = 1, again = true;
      }
    }
    if (!again) return true;
  }
  return false;
}

HardwarePrices ProximalLoads::step(const HardwarePrices& old, std::span<const double> load,
                                   std::span<const double> metric,
                                   std::span<const double> slack) const {
  std::vector<double> centre(cells());
  for (std::size_t i = 0; i < cells(); ++i) centre[i] = load[i] + metric[i] * old.bias[i];
  HardwarePrices at = old, d = free(), next = old;
  Model model, tried;
  double value = evaluate(at, centre, metric, slack, model);
  for (int i = 0; i < 100; ++i) {
    if (!direction(at, slack, model, d)) break;
    double gain = 0.0;
    for (std::size_t l = 0; l < d.shift.size(); ++l) gain += d.shift[l] * model.excess[l];
    for (std::size_t s = 0; s < d.device.size(); ++s) gain += d.device[s] * model.use[s];
    for (std::size_t r = 0; r < d.resource.size(); ++r) {
      gain += d.resource[r] * (resources_[r].constant - resources_[r].cap + slack[r]);
    }
    if (!(gain > 1e-15 * (std::abs(value) + picks_ * 1e-3))) break;
    double length = room(at, d), reached = value;
    for (int half = 0; half < 40; ++half, length *= 0.5) {
      for (std::size_t l = 0; l < d.shift.size(); ++l)
        next.shift[l] = at.shift[l] + length * d.shift[l];
      for (std::size_t s = 0; s < d.device.size(); ++s) {
        const double moved = at.device[s] + length * d.device[s];
        next.device[s] = moved > 1e-15 * at.device[s] ? moved : 0.0;
      }
      for (std::size_t r = 0; r < d.resource.size(); ++r) {
        next.resource[r] = std::max(0.0, at.resource[r] + length * d.resource[r]);
      }
      reached = evaluate(next, centre, metric, slack, tried);
      if (reached >= value + 1e-4 * length * gain) break;
    }
    if (!(reached > value)) break;
    std::swap(at, next);
    std::swap(model, tried);
    value = reached;
  }
  for (std::size_t i = 0; i < cells(); ++i) {
    at.bias[i] = old.bias[i] + (load[i] - model.load[i]) / metric[i];
  }
  admit(at);
  return at;
}

}  // namespace thermoe
