// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "moe/model_config.h"

namespace thermoe {

/// Everything that decides a training run. Written beside the checkpoint as train.json.
struct TrainConfig {
  ModelConfig model{};
  std::string text{};          ///< training bytes, documents separated by 0x00
  std::string heldout{};       ///< held-out bytes for the loss curve; empty: none
  std::string out{};           ///< directory of the run
  std::string device = "cpu";  ///< "cpu" or "cuda"
  bool bf16 = false;           ///< matrix products in bf16; parameters and optimiser stay f32
  bool resume = false;         ///< go on from the newest saved state in `out`
  std::int64_t steps = 1000;
  std::int64_t sequences = 64;  ///< sequences a step
  std::int64_t length = 1024;   ///< bytes a sequence
  double learning_rate = 1.2e-3;
  double final_learning_rate = 1.2e-4;
  std::int64_t warmup_steps = 200;
  double weight_decay = 0.1;
  double gradient_clip = 1.0;
  double load_balance_weight = 0.01;
  double energy_weight = 0.0;      ///< weight of compute_energy_loss
  std::int64_t decode_batch = 16;  ///< tokens decoded together in compute_energy_loss
  double elastic_share = 0.25;     ///< share of tokens with a random k
  int elastic_min = 2;             ///< smallest such k
  std::uint64_t seed = 1;
  std::int64_t log_every = 20;     ///< steps between rows of loss.csv
  std::int64_t eval_every = 500;   ///< steps between held-out evaluations; 0: only at the end
  std::int64_t save_every = 2000;  ///< steps between saved states; 0: only at the end
};

}  // namespace thermoe
