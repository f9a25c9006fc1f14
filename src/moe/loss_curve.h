// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "moe/train.h"

namespace thermoe {

/// loss.csv of a training run: one flushed row a report. A resumed run drops the rows beyond its
/// first step and goes on behind the rest.
class LossCurve {
 public:
  LossCurve(const std::string& path, std::int64_t first_step);
  /// Throws WriteError when the row cannot be written.
  void add(const TrainProgress& row);

 private:
  std::string path_;
  std::ofstream out_;
};

}  // namespace thermoe
