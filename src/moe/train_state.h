// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string>

#include "moe/language_model.h"
#include "moe/train_config.h"

namespace thermoe {

std::string train_config_json(const TrainConfig& config);

/// Makes the run's directory and writes train.json. Refuses a directory that holds a run already,
/// unless resuming one with the same model and data settings (UsageError, FormatError).
void prepare_train_directory(const TrainConfig& config);

/// Writes state-<step>/ (f32 parameters, optimiser) as a whole or not at all, then removes older
/// ones. A crash at any point leaves the state that was newest before, or this one. `changed` is
/// called after each change of the disk, so that tests can crash there.
void save_train_state(
    const std::string& out, std::int64_t step, LanguageModel& model,
    torch::optim::Optimizer& optimizer, const std::function<void()>& changed = [] {});

/// Loads the newest state; returns its step. Throws UsageError where there is none.
std::int64_t load_train_state(const std::string& out, LanguageModel& model,
                              torch::optim::Optimizer& optimizer, at::Device device);

}  // namespace thermoe
