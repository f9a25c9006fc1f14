// SPDX-License-Identifier: Apache-2.0
#include "profile/gpu_samples.h"

#include <algorithm>
#include <numeric>

namespace thermoe {
namespace {

constexpr std::int64_t kLongestGap = 1'000'000'000;

}  // namespace

void SampleSeries::add(std::int64_t at_ns, double value) {
  at_.push_back(at_ns);
  value_.push_back(value);
}

void SampleSeries::finish() {
  std::vector<std::size_t> order(at_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return at_[i]; });
  std::vector<std::int64_t> at;
  std::vector<double> value;
  for (const std::size_t i : order) {
    if (!at.empty() && at.back() == at_[i]) continue;  // the first of two at the same time
    at.push_back(at_[i]);
    value.push_back(value_[i]);
  }
  at_ = std::move(at);
  value_ = std::move(value);
  integral_.assign(at_.size(), 0.0);
  gaps_.assign(at_.size(), 0);
  for (std::size_t i = 1; i < at_.size(); ++i) {
    const double width = static_cast<double>(at_[i]) - static_cast<double>(at_[i - 1]);
    integral_[i] = integral_[i - 1] + 0.5 * width * (value_[i] + value_[i - 1]);
    gaps_[i] = gaps_[i - 1] + (width > static_cast<double>(kLongestGap) ? 1 : 0);
  }
}

double SampleSeries::value_at(std::size_t segment, std::int64_t at_ns) const {
  const double width = static_cast<double>(at_[segment + 1] - at_[segment]);
  const double share = static_cast<double>(at_ns - at_[segment]) / width;
  return value_[segment] + share * (value_[segment + 1] - value_[segment]);
}

double SampleSeries::integral_to(std::size_t segment, std::int64_t at_ns) const {
  const double width = static_cast<double>(at_ns - at_[segment]);
  return integral_[segment] + 0.5 * width * (value_[segment] + value_at(segment, at_ns));
}

std::optional<double> SampleSeries::mean(std::int64_t start_ns, std::int64_t end_ns) const {
  if (at_.size() < 2 || start_ns < at_.front() || end_ns > at_.back() || end_ns < start_ns) {
    return std::nullopt;
  }
  const auto segment_of = [&](std::int64_t at) {
    const auto above = std::ranges::upper_bound(at_, at) - at_.begin();
    return std::min(static_cast<std::size_t>(above), at_.size() - 1) - 1;
  };
  const std::size_t first = segment_of(start_ns), last = segment_of(end_ns);
  if (gaps_[last + 1] != gaps_[first]) return std::nullopt;
  if (end_ns == start_ns) return value_at(first, start_ns);
  if (first == last) return 0.5 * (value_at(first, start_ns) + value_at(first, end_ns));
  return (integral_to(last, end_ns) - integral_to(first, start_ns)) /
         static_cast<double>(end_ns - start_ns);
}

}  // namespace thermoe
