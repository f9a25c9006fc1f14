// SPDX-License-Identifier: Apache-2.0
#include "moe/train_state.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "state-";

nlohmann::json config_json(const TrainConfig& c) {
  return {{"schema", 1},
          {"model", to_json(c.model)},
          {"text", fs::path(c.text).filename().string()},
          {"bf16", c.bf16},
          {"steps", c.steps},
          {"sequences", c.sequences},
          {"length", c.length},
          {"learning_rate", c.learning_rate},
          {"final_learning_rate", c.final_learning_rate},
          {"warmup_steps", c.warmup_steps},
          {"weight_decay", c.weight_decay},
          {"gradient_clip", c.gradient_clip},
          {"load_balance_weight", c.load_balance_weight},
          {"energy_weight", c.energy_weight},
          {"decode_batch", c.decode_batch},
          {"elastic_share", c.elastic_share},
          {"elastic_min", c.elastic_min},
          {"seed", c.seed}};
}

/// Finished states in `out`, oldest first.
std::vector<std::int64_t> saved_steps(const std::string& out) {
  std::vector<std::int64_t> steps;
  for (const auto& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) != 0) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (parsed.ec == std::errc() && parsed.ptr == end) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

fs::path state_path(const std::string& out, std::int64_t step) {
  return fs::path(out) / (std::string(kPrefix) + std::to_string(step));
}

}  // namespace

std::string train_config_json(const TrainConfig& config) { return json_text(config_json(config)); }

void prepare_train_directory(const TrainConfig& config) {
  std::error_code error;
  fs::create_directories(config.out, error);
  if (error) throw WriteError(fmt::format("{}: cannot be made: {}", config.out, error.message()));
  const std::string path = (fs::path(config.out) / "train.json").string();
  if (fs::exists(path)) {
    if (!config.resume) {
      throw UsageError(
          fmt::format("{}: holds a training run; --resume it or choose another --out", config.out));
    }
    const nlohmann::json before = read_json_file(path);
    const nlohmann::json asked = parse_json(train_config_json(config), path);  // as it is written
    for (const auto& [key, value] : asked.items()) {
      if (!before.contains(key) || before[key] != value) {
        throw FormatError(
            path, "/" + key,
            fmt::format("the run was begun with {}, --resume asks for {}",
                        before.contains(key) ? before[key].dump() : "nothing", value.dump()));
      }
    }
  }
  write_file_atomically(path, json_text(config_json(config), 2) + "\n");
}

void save_train_state(const std::string& out, std::int64_t step, LanguageModel& model,
                      torch::optim::Optimizer& optimizer) {
  const auto older = saved_steps(out);
  const fs::path final_path = state_path(out, step);
  const fs::path temporary = final_path.string() + ".tmp";
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    save_language_model(model, (temporary / "model.safetensors").string(), at::kFloat);
    torch::save(optimizer, (temporary / "optimizer.pt").string());
    fs::remove_all(final_path);
    fs::rename(temporary, final_path);
  } catch (const std::exception& e) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw WriteError(
        fmt::format("{}: the training state cannot be written: {}", temporary.string(), e.what()));
  }
  for (const std::int64_t old : older) {
    if (old != step) fs::remove_all(state_path(out, old));
  }
}

std::int64_t load_train_state(const std::string& out, LanguageModel& model,
                              torch::optim::Optimizer& optimizer, at::Device device) {
  const auto steps = saved_steps(out);
  if (steps.empty()) throw UsageError(fmt::format("{}: no saved state to resume from", out));
  const fs::path path = state_path(out, steps.back());
  LanguageModel saved = load_language_model((path / "model.safetensors").string());
  const at::NoGradGuard no_grad;
  const auto from = saved->parameters();
  auto into = model->parameters();
  THERMOE_EXPECT(from.size() == into.size(), "{}: another model's state", path.string());
  for (std::size_t i = 0; i < from.size(); ++i) into[i].copy_(from[i]);
  try {
    torch::load(optimizer, (path / "optimizer.pt").string(), device);
  } catch (const std::exception& e) {
    throw FormatError((path / "optimizer.pt").string(), "",
                      fmt::format("cannot be read: {}", e.what()));
  }
  return steps.back();
}

}  // namespace thermoe
