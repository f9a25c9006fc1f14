// SPDX-License-Identifier: Apache-2.0
#include "report/metrics_logger.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

std::vector<std::string> expert_columns(int experts, const char* unit) {
  std::vector<std::string> names = {"strategy", "time_s", "layer"};
  for (int e = 0; e < experts; ++e) names.push_back(fmt::format("expert_{}_{}", e, unit));
  return names;
}

void add_cell(CsvRow& line, const MetricsColumn& column, const MetricsRow& row) {
  if (column.words != nullptr) {
    line.add(column.words(row));
  } else if (const auto value = column.number(row); !value) {
    line.empty();
  } else if (column.all_digits) {
    line.add_all_digits(column.file_unit * *value);
  } else {
    line.add(column.file_unit * *value);
  }
}

}  // namespace

MetricsLogger::MetricsLogger(const std::string& folder, int layers, int experts)
    : metrics_(folder + "/metrics.csv", metrics_header(layers)),
      usage_(folder + "/expert_usage.csv", expert_columns(experts, "tokens")),
      bias_(folder + "/expert_bias.csv", expert_columns(experts, "bias")),
      second_(layers, experts),
      bias_sums_(static_cast<std::size_t>(layers) * static_cast<std::size_t>(experts)) {}

void MetricsLogger::add(const MetricsRow& row) {
  CsvRow line;
  for (std::size_t i = 0; i < kMetrics; ++i) {
    const auto metric = static_cast<Metric>(i);
    add_cell(line, metrics_column(metric), row);
    if (metric != Metric::kKeptMass) continue;
    for (int l = 0; l < row.stats.layers; ++l) {
      if (row.routed) {
        line.add(row.stats.active(l));
      } else {
        line.empty();
      }
    }
  }
  metrics_.add(line);

  if (strategy_ != row.strategy) {
    strategy_ = row.strategy;
    second_start_ = row.at - row.step.tick;
  }
  if (row.routed) second_.add(row.stats);
  add_bias(row.plan);
  last_ = row.at;
  // Half a tick of slack: times are sums of ticks.
  if (row.at - second_start_ + 0.5 * row.step.tick >= Seconds(1.0)) write_second();
}

void MetricsLogger::finish_strategy() {
  if (last_ > second_start_) write_second();
  strategy_.clear();
}

void MetricsLogger::add_bias(const RoutingPlan* plan) {
  ++ticks_;
  if (plan == nullptr) return;
  auto sum = bias_sums_.begin();
  for (int l = 0; l < second_.layers(); ++l) {
    for (const float bias : plan->selection_bias(l)) *sum++ += static_cast<double>(bias);
  }
}

void MetricsLogger::write_second() {
  auto sum = bias_sums_.cbegin();
  for (int l = 0; l < second_.layers(); ++l) {
    CsvRow tokens, biases;
    tokens.add(std::string_view(strategy_)).add(last_).add(l);
    biases.add(std::string_view(strategy_)).add(last_).add(l);
    for (const std::int64_t count : second_.layer(l)) tokens.add(count);
    for (int e = 0; e < second_.experts(); ++e) biases.add(*sum++ / ticks_);
    usage_.add(tokens);
    bias_.add(biases);
  }
  second_.clear();
  std::fill(bias_sums_.begin(), bias_sums_.end(), 0.0);
  ticks_ = 0;
  second_start_ = last_;
}

}  // namespace thermoe
