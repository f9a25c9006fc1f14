// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "moe/policy_search.h"
#include "run/progress.h"

namespace thermoe {

struct FrontierOptions {
  int rows = 16;
  int length = 513;
  std::optional<std::size_t> batches{};  ///< absent: all
  int k_min = 1;
  std::vector<double> cuts{};  ///< percent of D
  std::vector<Policy> policies{};
  std::uint64_t seed = 1;  ///< of the intervals
};

/// Bits/byte against D: policies at equal cuts of D on the same bytes in the same order, with
/// intervals over documents.
class Frontier {
 public:
  Frontier(const std::vector<DomainText>& text, FrontierOptions options);

  /// Scores every policy at every cut with what `denominator` names. False where `stop` ended it:
  /// what was scored until then stays.
  bool add(const SequenceScorer& scorer, const std::string& denominator, Progress& progress,
           const std::atomic<bool>& stop);

  nlohmann::json to_json() const;

 private:
  struct Row {
    std::string denominator{};
    std::optional<Policy> policy{};  // absent: the baseline
    std::optional<double> cut{};     // percent; absent: of the baseline and of plain k / 2
    PolicyPoint point{};
  };
  /// One row's loss less another's.
  struct Comparison {
    const Row* row = nullptr;
    const Row* against = nullptr;
  };

  const Row& baseline_of(const Row& row) const;
  std::vector<Comparison> comparisons() const;
  nlohmann::json row_json(const Row& row) const;
  nlohmann::json comparison_json(const Comparison& c) const;

  FrontierOptions options_;
  std::int64_t text_bytes_ = 0;
  std::size_t all_batches_ = 0;
  DecodeBatches batches_{};
  std::vector<Row> rows_{};
  std::vector<double> load_{};  // max/mean by layer, of the first baseline
};

/// Tables for people of what `to_json` gives.
void print_frontier(const nlohmann::json& frontier, std::FILE* out);

}  // namespace thermoe
