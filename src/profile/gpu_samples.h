// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// A sensor's readings over time, a straight line between two.
class SampleSeries {
 public:
  void add(std::int64_t at_ns, double value);
  /// Sorts by time. Call once, after the last `add`.
  void finish();
  bool empty() const { return at_.empty(); }

  /// Mean over a stretch of time. Absent before the first sample, after the last, and where two
  /// neighbours are further apart than a second: what lies between them nobody saw.
  std::optional<double> mean(std::int64_t start_ns, std::int64_t end_ns) const;

 private:
  double value_at(std::size_t segment, std::int64_t at_ns) const;
  /// From the first sample to `at_ns`, which lies in this segment, in units x ns.
  double integral_to(std::size_t segment, std::int64_t at_ns) const;

  std::vector<std::int64_t> at_{};
  std::vector<double> value_{};
  std::vector<double> integral_{};     // up to each sample
  std::vector<std::uint32_t> gaps_{};  // too long ones before each sample
};

/// What was sampled on one GPU beside its kernels.
struct GpuSamples {
  SampleSeries power{};        ///< W
  SampleSeries temperature{};  ///< C
};

/// By the number that kernels give their GPU.
using SamplesByDevice = std::map<std::int64_t, GpuSamples>;

}  // namespace thermoe
