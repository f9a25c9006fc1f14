// SPDX-License-Identifier: Apache-2.0
#include "run/experiment.h"

#include <filesystem>

#include "core/errors.h"

namespace thermoe {

Seconds Experiment::step_period() const {
  return tokens_per_second ? Seconds(batch / *tokens_per_second) : Seconds(0);
}

ServingEngine Experiment::serving_engine(Strategy strategy) const {
  ServingEngine chosen = engine.serving;
  if (strategy == Strategy::kLargerBatch) {
    chosen.batch_limit = engine.larger_batch_limit.value_or(2 * chosen.batch_limit);
  }
  return chosen;
}

std::optional<int> Experiment::most_rows() const {
  if (!arrivals) return std::nullopt;
  const ServingEngine largest = serving_engine(Strategy::kLargerBatch);
  return largest.rows(largest.batch_limit + kMostPromptRows);
}

Experiment quick(Experiment e) {
  constexpr Seconds kQuick{60.0};
  if (e.duration > kQuick) {
    const double factor = kQuick / e.duration;
    e.duration = kQuick;
    for (Disturbance& d : e.disturbances) {
      d.from *= factor;
      d.to *= factor;
    }
    if (e.arrivals) e.arrivals->law.day *= factor;
  }
  e.rounds = 1;
  e.round.reset();
  std::vector<Strategy> kept;
  for (const Strategy s : e.strategies) {
    if (s == Strategy::kBaseline || s == Strategy::kKernelAwareTtha) kept.push_back(s);
  }
  if (kept.empty()) kept.push_back(e.strategies.front());
  e.strategies = kept;
  return e;
}

std::string find_file(const Experiment& experiment, const std::string& key,
                      const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::exists(name, ignored)) return name;
  const fs::path file = fs::absolute(experiment.path, ignored);
  const fs::path beside = file.parent_path().parent_path() / name;
  if (fs::path(name).is_relative() && fs::exists(beside, ignored)) return beside.string();
  throw FormatError(experiment.path, key,
                    fmt::format("\"{}\" is not there, neither in the current directory nor in {}; "
                                "correct the path",
                                name, file.parent_path().parent_path().string()));
}

}  // namespace thermoe
