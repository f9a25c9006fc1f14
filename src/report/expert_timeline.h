// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace thermoe {

/// A value of every expert over time, summed in equal spans of time. Spans start at 1 s and double
/// whenever there would be more than `kMostSpans`, so that a run of any length fits.
class ExpertTimeline {
 public:
  static constexpr std::size_t kMostSpans = 64;

  explicit ExpertTimeline(std::size_t experts) : experts_(experts) {}

  /// Adds one row: the values of a layer's experts at `time` (end of the row's second, > 0).
  void add(double time, std::size_t layer, std::span<const double> values);
  /// Doubles the spans until there are at most `most` (at least one).
  void shorten(std::size_t most);

  std::size_t layers() const { return layers_.size(); }
  std::size_t experts() const { return experts_; }
  std::size_t spans() const { return spans_; }
  double span_seconds() const { return span_seconds_; }

  /// Sum of an expert's values in a span.
  double sum(std::size_t layer, std::size_t span, std::size_t expert) const;
  /// Rows that were added to a layer's span.
  double rows(std::size_t layer, std::size_t span) const { return layers_[layer].rows[span]; }

 private:
  struct Layer {
    std::vector<double> sums{};  // [kMostSpans, experts]
    std::vector<double> rows{};  // [kMostSpans]
  };

  void double_spans();

  std::size_t experts_;
  std::size_t spans_ = 0;
  double span_seconds_ = 1.0;
  std::vector<Layer> layers_{};
};

/// One strategy's timeline in a file of values by expert.
struct StrategyTimeline {
  std::string strategy{};
  ExpertTimeline timeline;
};

/// Reads expert_usage.csv (`unit` "tokens") or expert_bias.csv (`unit` "bias"): strategy, time_s,
/// layer and a column expert_<i>_<unit> for each expert. A torn last line is dropped, and `torn`
/// set. Throws FormatError naming file, line and column.
std::vector<StrategyTimeline> read_expert_timelines(const std::string& path,
                                                    const std::string& unit, bool* torn = nullptr);

}  // namespace thermoe
