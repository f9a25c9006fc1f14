// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thermoe {

/// Name and value of what tells samples of one metric apart. The value is any text.
using MetricLabel = std::pair<std::string, std::string>;

enum class MetricType {
  kGauge,
  kCounter,    ///< never falls but to begin anew, which Prometheus' rate() sees
  kHistogram,  ///< samples _bucket (with the label le), _sum and _count
};

struct MetricSample {
  std::vector<MetricLabel> labels{};
  double value = 0.0;
  std::string suffix{};  ///< of a histogram's samples
};

/// A metric and its samples at one moment. An absent reading is a sample that is not there.
struct MetricFamily {
  std::string name{};  ///< [a-zA-Z_:][a-zA-Z0-9_:]*; a counter's ends in _total
  MetricType type = MetricType::kGauge;
  std::string help{};
  std::vector<MetricSample> samples{};
};

}  // namespace thermoe
