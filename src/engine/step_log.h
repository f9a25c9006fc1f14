// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/logit_sample.h"
#include "core/routing_stats.h"
#include "core/units.h"

namespace thermoe {

/// How an engine stores its gate logits.
enum class LogitType { kF32, kF16, kBf16 };
std::size_t byte_size(LogitType type);

/// Gate logits [layers, rows, experts] of a step, whose first `tokens` rows count.
struct StepLogits {
  const void* data = nullptr;
  LogitType type = LogitType::kF32;
  int rows = 0;
};

/// Where requests arrive.
struct StepServing {
  int running = 0, waiting = 0;   ///< after the step
  int arrived = 0, finished = 0;  ///< since the step before
};

/// What an engine tells of a step. Views: valid during the call.
struct EngineStep {
  std::uint64_t version = 0;               ///< of the decision that it ran under
  bool mixed = false;                      ///< it read prompts
  Seconds time{};                          ///< 0: not known
  Seconds period{};                        ///< likewise
  int tokens = 0;                          ///< no padding
  int rows = 0;                            ///< with padding
  std::span<const std::int32_t> counts{};  ///< [layers, experts], or empty
  std::optional<StepLogits> logits{};
  std::optional<StepServing> serving{};
  std::optional<double> quality_loss{};
};

/// Sums over steps.
struct StepTotals {
  std::uint64_t steps = 0, mixed = 0, tokens = 0;
  std::uint64_t skipped = 0;  ///< decode steps whose loads were passed over
  // Of decode steps:
  std::uint64_t decoded = 0, decode_tokens = 0, rows = 0, timed = 0, periods = 0;
  Seconds time{}, period{};  ///< those of `timed` and of `periods` steps
  std::uint64_t arrived = 0, finished = 0;
  std::optional<StepServing> serving{};  ///< of the newest step

  void add(const EngineStep& step);
  void add(const StepTotals& more);
};

/// The loads of a step, or its sampled logits, and under which decision they were routed.
struct LoggedLoads {
  std::uint64_t version = 0;
  RoutingStats stats{};
};
struct LoggedSample {
  LoggedLoads ran{};
  LogitSample sample{};
};

/// Carries what an engine's thread tells of its steps to the thread that controls: neither waits
/// for the other. One thread writes, one reads.
class StepLog {
 public:
  /// Samples of up to `most_tokens`.
  StepLog(int layers, int experts, int most_tokens);

  /// Writer side: copies what it is given, allocates nothing. Requires counts of layers * experts,
  /// each within 0..tokens, with any logits. While all slots are taken the loads are passed over,
  /// and the sums wait for the next step that finds one.
  void add(const EngineStep& step);
  /// A sample would be taken.
  bool wants_sample() const { return !sampled_.load(std::memory_order_acquire); }

  /// Reader side: all since the last call, oldest first. `loads` of decode steps that were counted.
  StepTotals drain(std::vector<LoggedLoads>& loads);
  /// The decode step that was sampled since the last call.
  std::optional<LoggedSample> take_sample();

 private:
  static constexpr std::size_t kSlots = 32;
  struct Slot {
    StepTotals totals{};
    bool counted = false;
    std::uint64_t version = 0;
    int tokens = 0;
    std::optional<double> quality_loss{};
    std::vector<std::int32_t> counts{};
  };

  void fill(Slot& slot, const EngineStep& step) const;
  LoggedLoads loads_of(const Slot& slot) const;
  void add_sample(const EngineStep& step);

  int layers_, experts_, most_tokens_;
  std::vector<Slot> slots_;
  std::atomic<std::uint64_t> written_{0}, read_{0};  // slots so far
  StepTotals pending_{};                             // writer's, until there is a slot
  // The sample's slot is the writer's while `sampled_` is false, else the reader's.
  std::atomic<bool> sampled_{false};
  Slot sample_slot_{};
  LogitType sample_type_ = LogitType::kF32;
  std::unique_ptr<std::byte[]> sample_bytes_;  // of most_tokens; pages are touched when needed
};

}  // namespace thermoe
