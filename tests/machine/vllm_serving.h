// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/units.h"
#include "cost/kernel_cost_model.h"
#include "synthetic_router.h"

namespace thermoe {

/// vLLM under Poisson arrivals, a row of data/h100/vllm_arrivals.json.
struct VllmRow {
  int allowed = 128;  ///< experts that may be chosen
  Seconds period{};
  double tokens_per_s = 0.0;
  Watts power{};
  double batch = 0.0;
  Seconds gap_p50{};
  Seconds gap_p99{};
  Celsius temperature{};
  Seconds step_period() const { return Seconds(batch / tokens_per_s); }
};

/// What the simulated machine makes of it.
struct SimulatedRow {
  double tokens_per_s = 0.0;
  Watts power{};
  Watts window_spread{};  ///< standard deviation of windows as long as the record's
  double batch = 0.0;
  Seconds step_period{};  ///< elapsed time over steps
  Seconds period_spread{};
  Seconds gap_p50{};
  Seconds gap_p99{};
};

/// The laws that the costs rest on, each of which can be changed to see what it does.
struct VllmPhysics {
  enum class Between { kByRows, kBySequences, kOf16 };
  Between between = Between::kByRows;  ///< what the time between two steps goes with
  bool idle_by_temperature = true;     ///< else that at the costs' reference temperature
  bool padding = true;                 ///< else graphs of every size
};

/// The comparison of both.
class VllmServing {
 public:
  /// Reads the steering runs, the record and the costs in `data`.
  explicit VllmServing(const std::string& data);

  const std::vector<VllmRow>& rows() const { return rows_; }
  /// Deviation of the experts' popularity that fits the steering runs' active experts best.
  double skew() const { return skew_; }
  /// (allowed, measured, the synthetic router's) at 16 rows.
  struct Active {
    int allowed = 0;
    double measured = 0.0;
    double synthetic = 0.0;
  };
  const std::vector<Active>& active() const { return active_; }

  /// Poisson arrivals at the row's tokens/s for so long, after half a minute.
  SimulatedRow simulate(const VllmRow& row, Seconds length, const VllmPhysics& physics = {}) const;

 private:
  Watts idle_at(Celsius temperature) const;

  KernelCostModel costs_;
  std::vector<VllmRow> rows_{};
  std::vector<Active> active_{};
  double skew_ = 0.0;
  double idle_w_per_c_ = 0.0;
};

/// Median and greatest size of relative errors.
struct ErrorSummary {
  double median = 0.0;
  double worst = 0.0;
};
ErrorSummary summary(std::vector<double> errors);

}  // namespace thermoe
