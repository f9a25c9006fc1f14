// SPDX-License-Identifier: Apache-2.0
#include "report/expert_timeline.h"

#include <algorithm>
#include <cmath>

#include "core/csv_reader.h"
#include "core/errors.h"

namespace thermoe {
namespace {

constexpr double kMostLayers = 4096;  // far beyond any model: a larger number is a slip
// Layers x experts of all strategies together: 128 MiB of sums. Five strategies of a model of 128
// layers and 256 experts have less.
constexpr std::size_t kMostCells = std::size_t{1} << 18;

double needed(const CsvReader& csv, std::size_t column, double low, double high) {
  const auto value = csv.number(column);
  if (value && *value >= low && *value <= high) return *value;
  throw FormatError(
      csv.path(), fmt::format("line {}, column {}", csv.line(), csv.columns()[column]),
      fmt::format("\"{}\" must be a number from {:g} to {:g}", csv.cell(column), low, high));
}

[[noreturn]] void refuse_size(const CsvReader& csv, std::size_t layer, std::size_t strategies,
                              std::size_t experts) {
  throw FormatError(
      csv.path(), fmt::format("line {}, column {}", csv.line(), csv.columns()[layer]),
      fmt::format("layer {} of {} experts, in {} strateg{}: more than a report can hold ({} layers "
                  "x experts of all strategies); correct the line, or remove the file",
                  csv.cell(layer), experts, strategies, strategies == 1 ? "y" : "ies", kMostCells));
}

}  // namespace

void ExpertTimeline::add(double time, std::size_t layer, std::span<const double> values) {
  THERMOE_EXPECT(values.size() == experts_, "{} values for {} experts", values.size(), experts_);
  const auto place = [&] {  // a row stands for the time before it; rows lie a little off full spans
    return static_cast<std::size_t>(std::max(0.0, std::ceil(time / span_seconds_ - 1e-3) - 1));
  };
  while (place() >= kMostSpans) double_spans();
  while (layers_.size() <= layer) {
    layers_.push_back({.sums = std::vector<double>(kMostSpans * experts_),
                       .rows = std::vector<double>(kMostSpans)});
  }
  const std::size_t span = place();
  spans_ = std::max(spans_, span + 1);
  double* sums = layers_[layer].sums.data() + span * experts_;
  for (std::size_t e = 0; e < experts_; ++e) sums[e] += values[e];
  layers_[layer].rows[span] += 1;
}

void ExpertTimeline::shorten(std::size_t most) {
  while (spans_ > std::max<std::size_t>(most, 1)) double_spans();
}

double ExpertTimeline::sum(std::size_t layer, std::size_t span, std::size_t expert) const {
  return layers_[layer].sums[span * experts_ + expert];
}

void ExpertTimeline::double_spans() {
  for (Layer& layer : layers_) {
    for (std::size_t span = 0; span < kMostSpans; ++span) {
      const bool merged = span < kMostSpans / 2;
      layer.rows[span] = merged ? layer.rows[2 * span] + layer.rows[2 * span + 1] : 0.0;
      for (std::size_t e = 0; e < experts_; ++e) {
        double* sums = layer.sums.data() + e;
        sums[span * experts_] =
            merged ? sums[2 * span * experts_] + sums[(2 * span + 1) * experts_] : 0.0;
      }
    }
  }
  spans_ = (spans_ + 1) / 2;
  span_seconds_ *= 2;
}

std::vector<StrategyTimeline> read_expert_timelines(const std::string& path,
                                                    const std::string& unit, bool* torn) {
  CsvReader csv(path);
  const std::size_t strategy = csv.need("strategy");
  const std::size_t time = csv.need("time_s");
  const std::size_t layer = csv.need("layer");
  std::vector<std::size_t> places;
  while (const auto place = csv.find(fmt::format("expert_{}_{}", places.size(), unit))) {
    places.push_back(*place);
  }
  if (places.empty()) csv.need(fmt::format("expert_0_{}", unit));

  std::vector<StrategyTimeline> all;
  std::vector<double> values(places.size());
  std::size_t cells = 0;  // of all timelines
  while (csv.next()) {
    const std::string_view name = csv.cell(strategy);
    if (all.empty() || all.back().strategy != name) {
      const auto known = std::find_if(all.begin(), all.end(),
                                      [&](const auto& one) { return one.strategy == name; });
      if (known != all.end()) {
        std::rotate(known, known + 1, all.end());  // the current one lies last
      } else {
        all.push_back({.strategy = std::string(name), .timeline = ExpertTimeline(places.size())});
      }
    }
    for (std::size_t e = 0; e < places.size(); ++e) {
      values[e] = csv.number(places[e]).value_or(0.0);
    }
    ExpertTimeline& timeline = all.back().timeline;
    const auto l = static_cast<std::size_t>(needed(csv, layer, 0.0, kMostLayers));
    if (l >= timeline.layers()) cells += (l + 1 - timeline.layers()) * places.size();
    if (cells > kMostCells) refuse_size(csv, layer, all.size(), places.size());
    timeline.add(needed(csv, time, 0.0, 1e12), l, values);
  }
  if (torn != nullptr) *torn = csv.torn();
  return all;
}

}  // namespace thermoe
