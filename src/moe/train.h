// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "moe/train_config.h"

namespace thermoe {

/// One row of loss.csv.
struct TrainProgress {
  std::int64_t step = 0;
  double seconds = 0.0;            ///< wall time of this process
  double tokens_per_second = 0.0;  ///< since the row before
  double bits_per_byte = 0.0;      ///< training loss, mean since the row before
  double load_balance = 0.0;       ///< mean over layers; 1 is balanced
  double energy = 0.0;             ///< compute_energy_loss, mean over layers
  double learning_rate = 0.0;
  std::optional<double> heldout_bits_per_byte{};
};

/// Trains a language model and leaves in `config.out`: train.json, loss.csv, state-<step>/ (to
/// resume from), model.safetensors (bf16) when done. Stops early, with a saved state, when `stop()`
/// turns true. Returns whether it ran to the end. Data order and draws depend only on seed and
/// step, so a resumed run sees what an uninterrupted one would. Throws UsageError or FormatError
/// for bad input, WriteError where the disk is full. Synchronises the device once a log row.
bool train(const TrainConfig& config, const std::function<void(const TrainProgress&)>& report,
           const std::function<bool()>& stop);

}  // namespace thermoe
