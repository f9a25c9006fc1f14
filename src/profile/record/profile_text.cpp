// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "profile/execution_row.h"
#include "profile/ops/op_traffic.h"
#include "profile/record/perturbation_fit.h"
#include "profile/record/run_profile.h"
#include "profile/record/step_response_fit.h"

namespace thermoe {
namespace {

void add_thermal(const ThermalRecord& record, std::string& text) {
  auto out = std::back_inserter(text);
  for (const int poles : {1, 2}) {
    const auto fit = fit_step_response(record.samples, poles);
    if (!fit) {
      fmt::format_to(out, "thermal, {} part{}: the temperature moved too little to fit\n", poles,
                     poles == 1 ? "" : "s");
      continue;
    }
    fmt::format_to(out, "thermal: {:.1f} C", fit->parameters.ambient.value);
    for (const ThermalPole& pole : fit->parameters.poles) {
      // What a joule adds at once: resistance over time constant.
      fmt::format_to(out, " + {:.4f} K/W in {:.1f} s ({:.3g} mK/J)", pole.resistance.value,
                     pole.time_constant.value,
                     1e3 * pole.resistance.value / pole.time_constant.value);
    }
    fmt::format_to(out, "; leaves {:.2f} C rms\n", fit->rms);
  }
}

std::string clock_words(const StrainRecord& record) {
  std::optional<Megahertz> low, high;
  for (const StrainSample& sample : record.samples) {
    if (!sample.sm_clock) continue;
    low = std::min(low.value_or(*sample.sm_clock), *sample.sm_clock);
    high = std::max(high.value_or(*sample.sm_clock), *sample.sm_clock);
  }
  return low ? fmt::format(", SM {:.0f} to {:.0f} MHz", low->value, high->value) : "";
}

void add_strain(const StrainRecord& record, std::string& text) {
  auto out = std::back_inserter(text);
  fmt::format_to(out, "strain: {} came to {:.0f} W of {:.0f} W{}; ", to_string(record.point),
                 highest_power(record).value, record.limit.value, clock_words(record));
  if (const auto slowdown = fit_slowdown(record)) {
    fmt::format_to(out, "latency +{:.3g} % for each % beyond {:g} % of the limit\n",
                   slowdown->slope, 100.0 * slowdown->knee);
  } else {
    text += "that is not near enough to tell what the limit costs\n";
  }
  if (const auto fit = fit_sensor_lag(record)) {
    fmt::format_to(out,
                   "power sensor: {:.0f} ms late, mean of {:.0f} ms, new each {:.0f} ms; the fit "
                   "leaves {:.0f} % of the step\n",
                   1e3 * fit->lag.delay.value, 1e3 * fit->lag.window.value,
                   1e3 * fit->lag.period->value, 100.0 * fit->residual);
  } else {
    text += "power sensor: follows the bursts too little to tell its lag\n";
  }
}

/// How far a second timing came from the first.
void add_repeats(const ProfileRecords& records, std::string& text) {
  int within = 0, all = 0;
  double largest = 0.0;
  for (const TimeRecord& repeat : records.repeats) {
    const auto first = std::ranges::find(records.times, repeat.point, &TimeRecord::point);
    if (first == records.times.end()) continue;
    const CostRow was = row_of(first->point, first->timing.spans_ns);
    const CostRow is = row_of(repeat.point, repeat.timing.spans_ns);
    const double change = std::abs(is.latency / was.latency - 1.0);
    largest = std::max(largest, change);
    within += change <= was.spread.value_or(0.0) ? 1 : 0;
    ++all;
  }
  if (all == 0) return;
  fmt::format_to(std::back_inserter(text),
                 "repeated: {} of {} medians within the first's spread; the largest change is "
                 "{:.1f} %\n",
                 within, all, 100.0 * largest);
}

}  // namespace

std::string to_text(const ProfileResult& result) {
  const ProfileRecords& records = result.records;
  std::string text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{} ({}{}{})\n\n{:>12} {:>8} {:>9} {:>9} {:>8} {:>10}  {:<14} {}\n",
                 records.facts.device, records.facts.backend,
                 records.facts.driver.empty() ? "" : ", driver ", records.facts.driver, "median us",
                 "spread %", "GB/s", "GFLOP/s", "W", "mJ", "part", "op");
  for (const TimeRecord& time : records.times) {
    const CostRow row = row_of(time.point, time.timing.spans_ns);
    const OpTraffic traffic = traffic_of(time.point);
    const auto energy = std::ranges::find(records.energies, time.point, &EnergyRecord::point);
    const bool known = energy != records.energies.end();
    fmt::format_to(out, "{:>12.3f} {:>8.1f} {:>9.1f} {:>9.1f} {:>8} {:>10}  {:<14} {}\n",
                   1e6 * row.latency.value, 100.0 * row.spread.value_or(0.0),
                   1e-9 * traffic.bytes / row.latency.value,
                   1e-9 * traffic.flops / row.latency.value,
                   known ? fmt::format("{:.1f}", energy->power().value) : "-",
                   known ? fmt::format("{:.4f}", 1e3 * energy->above_idle().value) : "-", time.part,
                   to_string(time.point));
  }
  if (!records.energies.empty()) text += "W: whole device; mJ: above the idle beside its window\n";
  add_repeats(records, text);
  if (records.thermal) add_thermal(*records.thermal, text);
  if (records.strain) add_strain(*records.strain, text);
  text += '\n';
  for (const std::string& note : result.notes) fmt::format_to(out, "{}\n", note);
  if (result.cost_model) fmt::format_to(out, "cost model: {}\n", *result.cost_model);
  return text;
}

}  // namespace thermoe
