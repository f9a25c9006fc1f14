// SPDX-License-Identifier: Apache-2.0
#include "profile/record/thermal_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace thermoe {
namespace {

constexpr std::size_t kFewest = 50;   // readings
constexpr double kLeastChange = 3.0;  // degrees
constexpr double kFastest = 0.3;      // seconds
constexpr int kSteps = 40;            // of time constants, evenly in their logarithm

/// Response of one part of 1 K/W at each reading; power holds until the next.
std::vector<double> response(std::span<const ThermalSample> samples, double tau) {
  double x = samples.front().power.value;
  std::vector<double> all{x};
  for (std::size_t i = 1; i < samples.size(); ++i) {
    const double keep = std::exp(-(samples[i].at - samples[i - 1].at).value / tau);
    const double power = 0.5 * (samples[i - 1].power + samples[i].power).value;
    x = power + keep * (x - power);
    all.push_back(x);
  }
  return all;
}

/// Least squares of T = c0 + c1 a + c2 b; `b` may be empty. Nothing where they are one.
std::optional<std::array<double, 3>> regress(std::span<const ThermalSample> samples,
                                             const std::vector<double>& a,
                                             const std::vector<double>& b) {
  const auto n = static_cast<double>(samples.size());
  double sa = 0, sb = 0, st = 0, saa = 0, sbb = 0, sab = 0, sat = 0, sbt = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double x = a[i], y = b.empty() ? 0.0 : b[i], t = samples[i].temperature.value;
    sa += x, sb += y, st += t, saa += x * x, sbb += y * y, sab += x * y, sat += x * t, sbt += y * t;
  }
  saa -= sa * sa / n, sbb -= sb * sb / n, sab -= sa * sb / n, sat -= sa * st / n,
      sbt -= sb * st / n;
  constexpr double kSingular = 1e-9;
  if (saa <= 0.0) return std::nullopt;
  std::array<double, 3> c{0.0, sat / saa, 0.0};
  if (!b.empty()) {
    const double determinant = saa * sbb - sab * sab;
    if (determinant <= kSingular * saa * sbb) return std::nullopt;
    c[1] = (sat * sbb - sbt * sab) / determinant;
    c[2] = (sbt * saa - sat * sab) / determinant;
  }
  c[0] = (st - c[1] * sa - c[2] * sb) / n;
  return c;
}

}  // namespace

std::optional<ThermalFit> fit_thermal(std::span<const ThermalSample> samples, int parts) {
  if (samples.size() < kFewest) return std::nullopt;
  const auto [low, high] = std::ranges::minmax_element(samples, {}, &ThermalSample::temperature);
  if ((high->temperature - low->temperature).value < kLeastChange) return std::nullopt;
  const double slowest = (samples.back().at - samples.front().at).value;
  std::vector<double> taus;
  std::vector<std::vector<double>> responses;
  for (int i = 0; i < kSteps; ++i) {
    taus.push_back(kFastest * std::pow(slowest / kFastest, i / (kSteps - 1.0)));
    responses.push_back(response(samples, taus.back()));
  }
  std::optional<ThermalFit> best;
  const auto consider = [&](std::size_t fast, std::optional<std::size_t> slow) {
    const std::vector<double> none;
    const std::vector<double>& b = slow ? responses[*slow] : none;
    const auto c = regress(samples, responses[fast], b);
    if (!c || (*c)[1] <= 0.0 || (slow && (*c)[2] <= 0.0)) return;
    double squares = 0.0;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const double left = (*c)[0] + (*c)[1] * responses[fast][i] + (slow ? (*c)[2] * b[i] : 0.0) -
                          samples[i].temperature.value;
      squares += left * left;
    }
    const Celsius rms(std::sqrt(squares / static_cast<double>(samples.size())));
    if (best && rms >= best->residual_rms) return;
    best = {.ambient = Celsius((*c)[0]),
            .parts = {{KelvinPerWatt((*c)[1]), Seconds(taus[fast])}},
            .residual_rms = rms};
    if (slow) best->parts.push_back({KelvinPerWatt((*c)[2]), Seconds(taus[*slow])});
  };
  for (std::size_t fast = 0; fast < taus.size(); ++fast) {
    if (parts == 1) {
      consider(fast, std::nullopt);
    } else {
      for (std::size_t slow = fast + 1; slow < taus.size(); ++slow) consider(fast, slow);
    }
  }
  return best;
}

}  // namespace thermoe
