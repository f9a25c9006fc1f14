// SPDX-License-Identifier: Apache-2.0
#include "report/plot_data.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "report/target_statistics.h"
#include "report/thinning.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr std::size_t kFewestPoints = 200;

struct DrawnLine {
  const char* name;
  Metric metric;
};

constexpr std::array<DrawnLine, 13> kLines = {{{"power", Metric::kPower1s},
                                               {"temperature", Metric::kTemperature},
                                               {"step", Metric::kStepTime},
                                               {"active", Metric::kActive},
                                               {"lambda", Metric::kLambda},
                                               {"nats", Metric::kQualityLoss},
                                               {"period", Metric::kDecidedPeriod},
                                               {"loss_total", Metric::kLossTotal},
                                               {"loss_power", Metric::kLossPower},
                                               {"loss_temperature", Metric::kLossTemperature},
                                               {"loss_latency", Metric::kLossLatency},
                                               {"loss_throughput", Metric::kLossThroughput},
                                               {"loss_quality", Metric::kLossQuality}}};

/// The values in the unit of the file, which is the one that people read.
std::vector<double> as_in_file(const StrategyTicks& ticks, Metric metric) {
  std::vector<double> values(ticks[metric].begin(), ticks[metric].end());
  for (double& value : values) value *= metrics_column(metric).file_unit;
  return values;
}

/// What jumps from tick to tick as requests come and go is drawn by its means of a second.
constexpr std::array<DrawnLine, 4> kSecondLines = {{{"batch", Metric::kBatch},
                                                    {"waiting", Metric::kWaiting},
                                                    {"between", Metric::kBetweenTokens},
                                                    {"between_p99", Metric::kBetweenTokensP99}}};

/// Requests come now and then: their percentiles are those of so long before.
constexpr Seconds kRequestWindow{10.0};
struct PercentileLine {
  const char* name;
  double share;
};
constexpr std::array<PercentileLine, 2> kFirstTokenLines = {
    {{"first_p50", 0.50}, {"first_p99", 0.99}}};

/// Of the first tokens' times, ms, at each tick: a tick's count with their mean.
std::vector<double> recent_first_tokens(const StrategyTicks& ticks, double share) {
  const auto end = ticks[Metric::kTime];
  const std::vector<double> times = as_in_file(ticks, Metric::kFirstTokenTime);
  std::vector<double> out;
  std::size_t from = 0;
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    while (end[from] <= end[i] - kRequestWindow.value) ++from;
    std::vector<Weighted> recent;
    for (std::size_t j = from; j <= i; ++j) {
      if (!std::isnan(times[j])) recent.push_back({times[j], ticks[Metric::kFirstTokens][j]});
    }
    out.push_back(percentile(std::move(recent), share).value_or(NAN));
  }
  return out;
}

/// Ends of the seconds and the means of those ticks in them that have a value.
struct SecondMeans {
  std::vector<double> ends{}, means{};
};
SecondMeans second_means(std::span<const double> end, const std::vector<double>& values) {
  SecondMeans out;
  double sum = 0.0, count = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) sum += values[i], count += 1.0;
    const bool last = i + 1 == values.size();
    // Half a millisecond of slack: times are sums of ticks.
    if (!last && std::floor(end[i + 1] - 0.0005) == std::floor(end[i] - 0.0005)) continue;
    out.ends.push_back(end[i]);
    out.means.push_back(count > 0.0 ? sum / count : NAN);
    sum = count = 0.0;
  }
  return out;
}

bool drawn(std::span<const double> values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return !std::isnan(v); });
}

/// Five significant digits: more than a plot shows, and half the size. NaN becomes null (a gap).
json rounded(double value, int digits = 5) {
  if (std::isnan(value)) return nullptr;
  if (value == 0 || !std::isfinite(value)) return 0;
  const double scale = std::pow(10.0, digits - 1 - std::floor(std::log10(std::fabs(value))));
  const double shown = std::round(value * scale) / scale;
  if (shown == std::floor(shown) && std::fabs(shown) < 1e15) {
    return static_cast<std::int64_t>(shown);
  }
  return shown;
}

json time_json(std::span<const double> time, const std::vector<std::size_t>& kept) {
  json x = json::array();
  for (const std::size_t i : kept) x.push_back(rounded(time[i], 8));
  return x;
}

/// Of the whole line, not of the points that are kept.
void add_key_figures(std::span<const double> values, json& line) {
  double sum = 0.0, least = INFINITY, most = -INFINITY, last = NAN;
  std::size_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
    least = std::min(least, value);
    most = std::max(most, value);
    last = value;
  }
  line["mean"] = rounded(sum / static_cast<double>(count));
  line["least"] = rounded(least);
  line["most"] = rounded(most);
  line["last"] = rounded(last);
}

/// Whole numbers with their scale: short to write down.
json whole_numbers(const std::vector<double>& values, double scale) {
  json out = json::array();
  for (const double value : values) {
    out.push_back(static_cast<std::int64_t>(std::llround(value / scale)));
  }
  return out;
}

/// Values of a layer's experts in some spans: load over the mean expert's, or mean bias.
std::vector<double> expert_values(const ExpertTimeline& timeline, MapOf what, std::size_t layer,
                                  std::size_t from, std::size_t to) {
  std::vector<double> values(timeline.experts());
  double rows = 0.0, total = 0.0;
  for (std::size_t span = from; span < to; ++span) {
    rows += timeline.rows(layer, span);
    for (std::size_t e = 0; e < values.size(); ++e) values[e] += timeline.sum(layer, span, e);
  }
  for (const double value : values) total += value;
  const double divisor =
      what == MapOf::kBias ? rows : total / static_cast<double>(timeline.experts());
  for (double& value : values) value = divisor > 0 ? value / divisor : 0.0;
  return values;
}

}  // namespace

std::size_t points_a_line(const std::vector<RunData>& runs, std::size_t numbers) {
  std::size_t whole = 0, lines = 0, longest = 0;
  for (const RunData& run : runs) {
    if (!run.ticks) continue;
    for (const StrategyTicks& ticks : run.ticks->strategies) {
      std::size_t here = 0;
      for (const DrawnLine& line : kLines) here += drawn(ticks[line.metric]) ? 1 : 0;
      lines += here;
      whole += ticks.count() * (here + 1);  // they share their times
      longest = std::max(longest, ticks.count());
    }
  }
  if (whole <= numbers) return std::max<std::size_t>(longest, 4);
  return std::max(kFewestPoints, numbers / (2 * std::max<std::size_t>(lines, 1)));
}

json lines_json(const StrategyTicks& ticks, std::size_t points) {
  json out = json::object();
  bool shares_time = false;
  const auto add = [&](const char* name, const std::vector<double>& values) {
    const std::vector<std::size_t> kept = thin(values, points);
    json line = json::object();
    if (kept.size() == ticks.count()) {
      shares_time = true;
    } else {
      line["x"] = time_json(ticks[Metric::kTime], kept);
    }
    json y = json::array();
    for (const std::size_t i : kept) y.push_back(rounded(values[i]));
    line["y"] = std::move(y);
    add_key_figures(values, line);
    out[name] = std::move(line);
  };
  for (const DrawnLine& line : kLines) {
    if (drawn(ticks[line.metric])) add(line.name, as_in_file(ticks, line.metric));
  }
  const auto add_seconds = [&](const char* name, const std::vector<double>& values) {
    const SecondMeans seconds = second_means(ticks[Metric::kTime], values);
    json line = {{"each_second", true}, {"x", json::array()}, {"y", json::array()}};
    for (std::size_t i = 0; i < seconds.ends.size(); ++i) {
      line["x"].push_back(rounded(seconds.ends[i], 8));
      line["y"].push_back(rounded(seconds.means[i]));
    }
    add_key_figures(values, line);
    out[name] = std::move(line);
  };
  for (const DrawnLine& line : kSecondLines) {
    if (drawn(ticks[line.metric])) add_seconds(line.name, as_in_file(ticks, line.metric));
  }
  if (drawn(ticks[Metric::kFirstTokenTime])) {
    for (const auto& [name, share] : kFirstTokenLines) {
      add_seconds(name, recent_first_tokens(ticks, share));
    }
  }
  if (shares_time) {
    std::vector<std::size_t> all(ticks.count());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    out["time"] = time_json(ticks[Metric::kTime], all);
  }
  return out;
}

json step_distribution_json(const StrategyTicks& ticks) {
  std::vector<Weighted> steps;
  double total = 0.0;
  const std::vector<double> time = as_in_file(ticks, Metric::kStepTime);
  const auto count = ticks[Metric::kSteps];
  for (std::size_t i = 0; i < ticks.count(); ++i) {
    if (std::isnan(time[i]) || !(count[i] > 0)) continue;
    steps.push_back({time[i], count[i]});
    total += count[i];
  }
  json x = json::array(), y = json::array();
  if (steps.empty()) return {{"x", x}, {"y", y}};
  std::sort(steps.begin(), steps.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  // Every half percent, and the slowest tenth of a percent by itself: the tail is what hurts.
  double seen = 0.0;
  double next = 0.0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    seen += steps[i].weight;
    const double percent = 100 * seen / total;
    if (percent < next && i + 1 < steps.size()) continue;
    x.push_back(rounded(steps[i].value));
    y.push_back(rounded(percent));
    next = percent < 99 ? std::min(99.0, percent + 0.5) : percent + 0.05;
  }
  return {{"x", x}, {"y", y}};
}

json map_json(ExpertTimeline timeline, MapOf what, std::size_t cells) {
  const std::size_t cells_a_span = std::max<std::size_t>(timeline.layers() * timeline.experts(), 1);
  timeline.shorten(cells / cells_a_span);
  std::vector<std::vector<std::vector<double>>> spans(timeline.layers());
  double largest = 0.0;
  for (std::size_t l = 0; l < timeline.layers(); ++l) {
    spans[l].push_back(expert_values(timeline, what, l, 0, timeline.spans()));
    for (std::size_t s = 0; s < timeline.spans(); ++s) {
      spans[l].push_back(expert_values(timeline, what, l, s, s + 1));
    }
    for (const auto& values : spans[l]) {
      for (const double value : values) largest = std::max(largest, std::fabs(value));
    }
  }
  // A hundredth of an even share; three digits of the largest bias.
  const double scale = what == MapOf::kLoad ? 0.01 : largest > 0 ? largest / 999 : 1.0;
  json layers = json::array();
  for (const auto& layer : spans) {
    json over_time = json::array();
    for (std::size_t s = 1; s < layer.size(); ++s) {
      over_time.push_back(whole_numbers(layer[s], scale));
    }
    layers.push_back({{"whole", whole_numbers(layer.front(), scale)}, {"spans", over_time}});
  }
  return {{"experts", timeline.experts()},
          {"span_s", timeline.span_seconds()},
          {"spans", timeline.spans()},
          {"scale", scale},
          {"most", largest},
          {"layers", layers}};
}

}  // namespace thermoe
