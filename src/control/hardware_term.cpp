// SPDX-License-Identifier: Apache-2.0
#include "control/hardware_term.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/errors.h"

namespace thermoe {

HardwareTerm::HardwareTerm(const PriceProblem& p)
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

void HardwareTerm::merge_curves(const PriceProblem& p) {
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
        merged.slope.push_back(c.slope[c.segment(x)]);
        merged.value.push_back(c.at(x));
      }
    }
    kinds_.push_back(std::move(merged));
  }
}

HardwarePrices HardwareTerm::free() const {
  return {.shift = std::vector<double>(static_cast<std::size_t>(layers_), 0.0),
          .resource = std::vector<double>(resources_.size(), 0.0),
          .device = std::vector<double>(static_cast<std::size_t>(layers_) * slots_, 0.0),
          .bias = std::vector<double>(cells(), 0.0)};
}

bool HardwareTerm::fits(const HardwarePrices& p) const {
  return p.shift.size() == static_cast<std::size_t>(layers_) &&
         p.resource.size() == resources_.size() && p.device.size() == p.shift.size() * slots_ &&
         p.bias.size() == cells();
}

void HardwareTerm::admit(HardwarePrices& p) const {
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

double HardwareTerm::slope(const HardwarePrices& p, std::size_t cell, std::size_t j) const {
  const std::size_t n = resources_.size(), e = cell % static_cast<std::size_t>(experts_);
  const double* theta = p.device.data() + cell / static_cast<std::size_t>(experts_) * slots_;
  const double* slopes = kinds_[kind_[cell]].slope.data() + j * n;
  double sum = 0.0;
  for (std::size_t r = 0; r < n; ++r) sum += theta[slot(r, e)] * slopes[r];
  return sum;
}

double HardwareTerm::conjugate(const HardwarePrices& p) const {
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

std::vector<double> HardwareTerm::use(std::span<const double> load) const {
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

double HardwareTerm::excess(std::span<const double> use) const {
  double sum = 0.0;
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    sum += resources_[r].ceiling * std::max(0.0, use[r] - resources_[r].cap);
  }
  return sum;
}

std::vector<double> HardwareTerm::shadow(const HardwarePrices& p) const {
  std::vector<double> own = p.bias;
  for (std::size_t cell = 0; cell < cells(); ++cell) {
    own[cell] -= p.shift[cell / static_cast<std::size_t>(experts_)];
  }
  return own;
}

}  // namespace thermoe
