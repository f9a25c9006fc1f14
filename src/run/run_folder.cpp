// SPDX-License-Identifier: Apache-2.0
#include "run/run_folder.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "run/provenance.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles[] = {"config.json",     "metrics.csv",  "expert_usage.csv",
                                  "expert_bias.csv", "details.json", "summary.json",
                                  "cost_model.json", "report.html",  "comparison.html"};

nlohmann::json machine_json(const MachineDescription& machine) {
  nlohmann::json out = {{"device", machine.device}};
  if (!machine.driver.empty()) out["driver"] = machine.driver;
  if (machine.uuid.empty()) return out;
  out["uuid"] = machine.uuid;
  out["cuda"] = machine.cuda;
  out["load"] = machine.load;
  if (machine.device_bytes) out["device_memory_bytes"] = *machine.device_bytes;
  out["other_processes"] = machine.processes;
  return out;
}

void make(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw WriteError(fmt::format("{}: cannot be made: {}", folder.string(), error.message()));
  }
}

/// Makes exactly this folder; false when it is there already.
bool make_new(const fs::path& folder) {
  make(folder.parent_path());
  std::error_code error;
  const bool made = fs::create_directory(folder, error);
  if (error) {
    throw WriteError(fmt::format("{}: cannot be made: {}", folder.string(), error.message()));
  }
  return made;
}

}  // namespace

void check_run_folder(const std::string& out, bool force) {
  const fs::path folder(out);
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return;
  if (!fs::is_directory(folder, ignored)) {
    throw UsageError(fmt::format("--out {}: is not a folder; name another", out));
  }
  if (!fs::is_empty(folder, ignored) && !force) {
    throw UsageError(fmt::format(
        "--out {}: is not empty; name another folder, or give --force to replace the run in it",
        out));
  }
}

std::string make_run_folder(const std::optional<std::string>& out, const std::string& name,
                            bool force) {
  if (!out) {
    for (int n = 1;; ++n) {
      const fs::path folder = fs::path("runs") / fmt::format("{}-{}", name, n);
      if (make_new(folder)) return folder.string();
    }
  }
  check_run_folder(*out, force);
  const fs::path folder(*out);
  make(folder);
  for (const char* file : kFiles) {
    std::error_code error;
    fs::remove(folder / file, error);
    // An old summary left behind would make an interrupted run look whole.
    if (error)
      throw WriteError(
          fmt::format("{}: cannot be replaced: {}", (folder / file).string(), error.message()));
  }
  return folder.string();
}

void write_config(const std::string& folder, const ExperimentInputs& inputs) {
  const Experiment& e = inputs.experiment;
  const bool simulated = inputs.machine.simulated;
  const nlohmann::json config = {
      {"schema", 1},
      {"simulated", simulated},
      {"machine", machine_json(inputs.machine)},
      {"time", simulated ? "virtual: a simulated machine's, not this one's" : "this machine's"},
      {"decisions",
       fmt::format("{}, {} {} step(s) of {} {} a tick of {} s stand for all steps of the "
                   "tick",
                   decisions_line(inputs), e.decode_steps_per_tick,
                   e.trace ? "recorded" : "real decode", e.batch, e.trace ? "tokens" : "streams",
                   e.tick.value)},
      {"costs", costs_line(inputs)},
      {"experiment_file", e.path},
      {"experiment", to_json(e)}};
  write_file_atomically(folder + "/config.json", json_text(config, 2) + "\n");
}

}  // namespace thermoe
