// SPDX-License-Identifier: Apache-2.0
#include "profile/record/perturbation_fit.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "profile/record/median.h"

namespace thermoe {
namespace {

constexpr double kKnee = 0.95;       // share of the limit at which clocks begin to fall
constexpr double kLeastRange = 3.0;  // degrees
constexpr std::size_t kFewest = 20;  // readings or batches
constexpr Seconds kSettle{2.0};      // of work and of rest: sensors lag
constexpr Seconds kPause{0.3};       // longer than between two batches of one burst

/// A step response's samples at work, power near its highest, and those at rest behind it.
struct WorkAndRest {
  std::span<const ThermalSample> work{};
  std::span<const ThermalSample> rest{};
};

WorkAndRest parts_of(const ThermalRecord& record) {
  const std::span<const ThermalSample> all = record.samples;
  if (all.empty()) return {};
  const auto [low, high] = std::ranges::minmax_element(all, {}, &ThermalSample::power);
  const Watts working = low->power + 0.7 * (high->power - low->power);
  const auto works = [&](const ThermalSample& sample) { return sample.power >= working; };
  const auto first = std::ranges::find_if(all, works);
  const auto end = std::find_if(all.rbegin(), all.rend(), works).base();
  const auto settled = [&](auto begin) {
    return std::ranges::lower_bound(begin, all.end(), begin->at + kSettle, {}, &ThermalSample::at);
  };
  const auto begin = settled(first);
  WorkAndRest parts;
  if (begin < end) parts.work = {begin, end};
  if (end != all.end()) parts.rest = {settled(end), all.end()};
  return parts;
}

/// Batches without a pause between them.
using Burst = std::span<const WorkBatch>;

/// The bursts of a strain in their order; the last of them is the work that is held.
std::vector<Burst> bursts_of(const StrainRecord& record) {
  std::vector<Burst> bursts;
  const std::span<const WorkBatch> all = record.batches;
  for (std::size_t first = 0, i = 1; i <= all.size(); ++i) {
    if (i < all.size() && all[i].from - all[i - 1].to <= kPause) continue;
    bursts.push_back(all.subspan(first, i - first));
    first = i;
  }
  return bursts;
}

Seconds execution_of(const WorkBatch& batch) {
  return (batch.to - batch.from) / static_cast<double>(batch.executions);
}

/// An execution's time while the board has power to spare: of each burst the first batch, as no
/// limit has acted yet, and of those the median, as the least would take the times' own scatter for
/// what the limit costs.
Seconds spared_execution(std::span<const Burst> bursts) {
  std::vector<Seconds> firsts;
  firsts.reserve(bursts.size());
  for (const Burst& burst : bursts) firsts.push_back(execution_of(burst.front()));
  return *median(std::move(firsts));
}

/// As a sensor reads what it shows: what is alike twice was not read anew.
std::vector<PowerSample> news_of(const StrainRecord& record, Seconds to) {
  std::vector<PowerSample> news;
  for (const StrainSample& sample : record.samples) {
    if (sample.at > to) break;
    if (!news.empty() && news.back().power == sample.power) continue;
    news.push_back({.read_at = sample.at, .power = sample.power});
  }
  return news;
}

}  // namespace

std::optional<ThermalPerturbation> fit_leakage(const ThermalRecord& record, Celsius reference,
                                               Watts idle) {
  const auto [work, rest] = parts_of(record);
  if (work.size() < kFewest || rest.size() < kFewest) return std::nullopt;
  const auto [cold, hot] = std::ranges::minmax_element(rest, {}, &ThermalSample::temperature);
  if ((hot->temperature - cold->temperature).value < kLeastRange) return std::nullopt;
  double n = 0, t = 0, p = 0, tt = 0, tp = 0;
  for (const ThermalSample& sample : rest) {
    const double above = (sample.temperature - reference).value, watts = sample.power.value;
    n += 1, t += above, p += watts, tt += above * above, tp += above * watts;
  }
  const double slope = (n * tp - t * p) / (n * tt - t * t);
  Watts working{};
  for (const ThermalSample& sample : work) working += sample.power;
  const Watts above_idle = working / static_cast<double>(work.size()) - idle;
  if (slope <= 0.0 || above_idle.value <= 0.0) return std::nullopt;
  return ThermalPerturbation{.reference = reference, .energy_per_c = slope / above_idle.value};
}

std::optional<PowerPerturbation> fit_slowdown(const StrainRecord& record) {
  const std::vector<Burst> bursts = bursts_of(record);
  if (bursts.size() < 2) return std::nullopt;
  const Burst& held = bursts.back();
  const Seconds spared = spared_execution(std::span(bursts).first(bursts.size() - 1));
  double xx = 0, xy = 0;
  std::size_t count = 0;
  for (const WorkBatch& batch : held) {
    if (batch.from < held.front().from + kSettle) continue;
    // The reading that came with the batch.
    const auto sample = std::ranges::lower_bound(record.samples, batch.from, {}, &StrainSample::at);
    if (sample == record.samples.end()) break;
    const double beyond = sample->power / record.limit - kKnee;
    if (beyond <= 0.0) continue;
    xx += beyond * beyond, xy += beyond * (execution_of(batch) / spared - 1.0);
    ++count;
  }
  if (count < kFewest) return std::nullopt;
  return PowerPerturbation{.limit = record.limit, .knee = kKnee, .slope = std::max(0.0, xy / xx)};
}

Watts highest_power(const StrainRecord& record) {
  const auto highest = std::ranges::max_element(record.samples, {}, &StrainSample::power);
  return highest == record.samples.end() ? Watts(0) : highest->power;
}

std::optional<SensorLagFit> fit_sensor_lag(const StrainRecord& record) {
  std::vector<Burst> bursts = bursts_of(record);
  if (bursts.size() < 2) return std::nullopt;
  const std::vector<PowerSample> news = news_of(record, bursts.back().front().from);
  bursts.pop_back();
  std::vector<LoadBurst> loads;
  loads.reserve(bursts.size());
  for (const Burst& burst : bursts) {
    loads.push_back({.from = burst.front().from, .to = burst.back().to});
  }
  auto fit = fit_sensor_lag(loads, news);
  if (!fit) return std::nullopt;
  std::vector<Seconds> between;
  for (std::size_t i = 1; i < news.size(); ++i) {
    between.push_back(news[i].read_at - news[i - 1].read_at);
  }
  fit->lag.period = median(std::move(between));
  return fit;
}

}  // namespace thermoe
