// SPDX-License-Identifier: Apache-2.0
#include "control/hardware_caps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

double energy_of(const Cost& c) { return c.energy.value; }
double latency_of(const Cost& c) { return c.latency.value; }

template <class Figure>
ConvexCurve envelope_of(const CostCurve& curve, CurveRange range, const Figure& figure) {
  std::vector<CurvePoint> points;
  if (range == CurveRange::kFromOrigin) points.push_back({0.0, 0.0});
  for (const CostCurve::Point& p : curve.points()) points.push_back({p.tokens, figure(p.cost)});
  return convex_curve(points);
}

std::size_t device_of(const HardwareSetting& s, std::size_t expert) {
  return expert / (static_cast<std::size_t>(s.experts) / static_cast<std::size_t>(s.devices));
}

ConvexCurve times(ConvexCurve curve, double factor) {
  for (double& v : curve.value) v *= factor;
  for (double& s : curve.slope) s *= factor;
  return curve;
}

/// A price at which the last token has gone wherever it is cheaper: differences between the
/// experts' slopes then weigh several times a token's whole u. More would only be stiffer.
double ceiling_of(const CappedResource& r) {
  std::vector<double> slopes;
  for (const std::uint8_t c : r.curve_of) {
    slopes.push_back(r.curves[c].slope.front());
    slopes.push_back(r.curves[c].slope.back());
  }
  double mean = 0.0, square = 0.0;
  for (const double s : slopes) mean += s / static_cast<double>(slopes.size());
  for (const double s : slopes) {
    square += (s - mean) * (s - mean) / static_cast<double>(slopes.size());
  }
  return 5.0 / std::max({std::sqrt(square), 1e-3 * mean, 1e-300});
}

/// Of each device (one resource a device), or all together with the layer's slowest.
template <class Figure>
CappedResource resource_of(const HardwareSetting& s, const Figure& figure,
                           std::optional<std::size_t> device, double cap) {
  CappedResource r{.cap = cap,
                   .constant = s.costs.layer_repeat * s.layers * figure(s.costs.layer_constant)};
  for (const CostCurve& c : s.costs.variants) {
    r.curves.push_back(
        times(stretched(envelope_of(c, s.range, figure), s.steps), s.costs.layer_repeat));
  }
  const auto elsewhere = static_cast<std::uint8_t>(r.curves.size());
  if (device && s.devices > 1) r.curves.push_back(linear_curve(0.0));
  const auto experts = static_cast<std::size_t>(s.experts);
  for (std::size_t cell = 0; cell < experts * static_cast<std::size_t>(s.layers); ++cell) {
    const std::uint8_t own = s.variant.empty() ? std::uint8_t{0} : s.variant[cell];
    r.curve_of.push_back(device && device_of(s, cell % experts) != *device ? elsewhere : own);
  }
  for (std::size_t e = 0; !device && s.devices > 1 && e < experts; ++e) {
    r.device_of.push_back(static_cast<std::uint8_t>(device_of(s, e)));
  }
  r.price_ceiling = ceiling_of(r);
  return r;
}

/// The largest power of a device that its targets allow. Idle with clocks up is its least, whatever
/// is routed.
std::optional<Watts> power_cap(const HardwareSetting& s) {
  const Watts idle = s.costs.active_idle;
  std::optional<Watts> cap = s.targets.power;
  if (cap && *cap <= idle) {
    throw UsageError(fmt::format(
        "power cap {:g} W: the device takes {:g} W without any work; give more than that",
        cap->value, idle.value));
  }
  if (!s.targets.temperature) return cap;
  if (!s.thermal) {
    throw UsageError("temperature cap: the cost model has no /thermal to predict one with");
  }
  const Celsius coolest = s.thermal->steady(idle);
  if (*s.targets.temperature <= coolest) {
    throw UsageError(fmt::format(
        "temperature cap {:g} C: the device has {:.1f} C without any work; give more than that",
        s.targets.temperature->value, coolest.value));
  }
  const Celsius rise = *s.targets.temperature - s.thermal->ambient;
  const Watts by_heat(rise.value / s.thermal->resistance.value);
  return cap ? std::min(*cap, by_heat) : by_heat;
}

/// A step ends before the next begins, as else joules a period are no power (docs/theory.md, E2).
std::optional<Seconds> step_time_cap(const HardwareSetting& s) {
  if (!s.targets.power && !s.targets.temperature) return s.targets.step_time;
  return std::min(s.period, s.targets.step_time.value_or(s.period));
}

}  // namespace

HardwareCaps hardware_caps(const HardwareSetting& s) {
  THERMOE_EXPECT(s.layers >= 1 && s.experts >= 1 && s.devices >= 1 && s.steps >= 1 &&
                     s.experts % s.devices == 0 && s.devices <= 128 &&
                     s.costs.variants.size() < 255,
                 "{} layers of {} experts on {} devices, {} steps: give equal runs of experts",
                 s.layers, s.experts, s.devices, s.steps);
  HardwareCaps caps;
  if (const std::optional<Watts> power = power_cap(s)) {
    if (s.period <= Seconds(0.0)) {
      throw UsageError(
          "a power or temperature cap needs a token rate: as fast as steps go, power is a ratio of "
          "two costs and no convex one (docs/theory.md, E2)");
    }
    const double joules = ((*power - s.costs.active_idle) * s.period).value;
    for (int d = 0; d < s.devices; ++d) {
      caps.names.push_back({.name = "energy", .device = d});
      caps.resources.push_back(resource_of(s, energy_of, static_cast<std::size_t>(d), joules));
      if (!s.energy_residual.empty()) {
        caps.resources.back().constant += s.energy_residual[static_cast<std::size_t>(d)].value;
      }
    }
  }
  if (const std::optional<Seconds> longest = step_time_cap(s)) {
    caps.names.push_back({.name = "step_time"});
    caps.resources.push_back(resource_of(s, latency_of, std::nullopt, longest->value));
    caps.resources.back().constant += s.latency_residual.value;
  }
  return caps;
}

PredictedStep predict(const HardwareSetting& s, std::span<const double> loads, CostShape shape) {
  const auto devices = static_cast<std::size_t>(s.devices);
  std::vector<ConvexCurve> energies, latencies;
  for (const CostCurve& c : s.costs.variants) {
    energies.push_back(envelope_of(c, s.range, energy_of));
    latencies.push_back(envelope_of(c, s.range, latency_of));
  }
  PredictedStep step{.energy = std::vector<Joules>(devices)};
  for (std::size_t l = 0; l < static_cast<std::size_t>(s.layers); ++l) {
    std::vector<double> latency(devices, s.costs.layer_constant.latency.value);
    std::vector<double> energy(devices, s.costs.layer_constant.energy.value);
    for (std::size_t e = 0; e < static_cast<std::size_t>(s.experts); ++e) {
      const std::size_t cell = l * static_cast<std::size_t>(s.experts) + e, d = device_of(s, e);
      const std::size_t v = s.variant.empty() ? 0 : std::size_t{s.variant[cell]};
      const bool profiled = shape == CostShape::kAsProfiled;
      const Cost cost = s.costs.variants[v].at(loads[cell]);
      latency[d] += profiled ? cost.latency.value : latencies[v].at(loads[cell]);
      energy[d] += profiled ? cost.energy.value : energies[v].at(loads[cell]);
    }
    step.latency +=
        Seconds(s.costs.layer_repeat * *std::max_element(latency.begin(), latency.end()));
    for (std::size_t d = 0; d < devices; ++d) {
      step.energy[d] += Joules(s.costs.layer_repeat * energy[d]);
    }
  }
  if (shape == CostShape::kEnvelope) {
    step.latency += s.latency_residual;
    for (std::size_t d = 0; d < s.energy_residual.size(); ++d)
      step.energy[d] += s.energy_residual[d];
  }
  for (const Joules& energy : step.energy) {
    const Cost whole{.latency = step.latency, .energy = energy};
    step.power.push_back(mean_power(whole, s.period, s.costs.active_idle));
    if (s.thermal) step.temperature.push_back(s.thermal->steady(step.power.back()));
  }
  return step;
}

void set_residuals(HardwareSetting& s, std::span<const double> loads) {
  s.energy_residual.clear();
  s.latency_residual = Seconds(0.0);
  const PredictedStep curves = predict(s, loads, CostShape::kAsProfiled);
  const PredictedStep envelopes = predict(s, loads, CostShape::kEnvelope);
  s.latency_residual = curves.latency - envelopes.latency;
  for (std::size_t d = 0; d < curves.energy.size(); ++d) {
    s.energy_residual.push_back(curves.energy[d] - envelopes.energy[d]);
  }
}

}  // namespace thermoe
