// SPDX-License-Identifier: Apache-2.0
#include "moe/train_state.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
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

/// What stands behind the step of a state's folder that is not its final one.
constexpr std::string_view kUnfinished = ".tmp";
constexpr std::string_view kReplaced =
    ".old";  // whole: a later save of the same step took its name

struct StateFolder {
  std::int64_t step = 0;
  std::string suffix{};
  fs::path path{};
};

fs::path state_path(const std::string& out, std::int64_t step, std::string_view suffix = "") {
  return fs::path(out) / fmt::format("{}{}{}", kPrefix, step, suffix);
}

/// Folders of states in `out`, unfinished ones included; oldest first, for equal steps the final
/// one last.
std::vector<StateFolder> state_folders(const std::string& out) {
  std::vector<StateFolder> found;
  for (const auto& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    StateFolder folder{.path = entry.path()};
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, folder.step);
    if (parsed.ec != std::errc()) continue;
    folder.suffix.assign(parsed.ptr, end);
    const bool known =
        folder.suffix.empty() || folder.suffix == kUnfinished || folder.suffix == kReplaced;
    if (known) found.push_back(std::move(folder));
  }
  std::ranges::sort(found, [](const StateFolder& a, const StateFolder& b) {
    return a.step != b.step ? a.step < b.step : a.suffix.empty() < b.suffix.empty();
  });
  return found;
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
                      torch::optim::Optimizer& optimizer, const std::function<void()>& changed) {
  const fs::path final_path = state_path(out, step);
  const fs::path unfinished = state_path(out, step, kUnfinished);
  const fs::path replaced = state_path(out, step, kReplaced);
  try {
    fs::remove_all(unfinished);
    fs::create_directories(unfinished);
    changed();
    save_language_model(model, (unfinished / "model.safetensors").string(), at::kFloat);
    changed();
    std::ostringstream bytes;
    torch::save(optimizer, bytes);
    write_file_atomically((unfinished / "optimizer.pt").string(), bytes.view());
    changed();
    // The files and their names in the folder are synced: what follows only renames.
    if (fs::exists(final_path)) {  // a folder that holds something cannot be renamed over
      fs::remove_all(replaced);
      changed();
      fs::rename(final_path, replaced);
      changed();
    }
    fs::rename(unfinished, final_path);
    changed();
    sync_name(final_path.string());
  } catch (const std::exception& e) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw WriteError(
        fmt::format("{}: the training state cannot be written: {}", final_path.string(), e.what()));
  }
  for (const StateFolder& other : state_folders(out)) {
    if (other.path == final_path) continue;
    fs::remove_all(other.path);
    changed();
  }
}

std::int64_t load_train_state(const std::string& out, LanguageModel& model,
                              torch::optim::Optimizer& optimizer, at::Device device) {
  auto states = state_folders(out);
  std::erase_if(states, [](const StateFolder& s) { return s.suffix == kUnfinished; });
  if (states.empty()) throw UsageError(fmt::format("{}: no saved state to resume from", out));
  const fs::path& path = states.back().path;
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
  return states.back().step;
}

}  // namespace thermoe
