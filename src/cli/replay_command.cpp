// SPDX-License-Identifier: Apache-2.0
#include "cli/replay_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"
#include "machine/simulated/plant_config.h"
#include "run/run_replay.h"

namespace thermoe {
namespace {

struct ReplayOptions {
  std::string run{};
  std::string cost_model{};
  std::string plant = "data/h100/plant.json";
  std::optional<std::string> heat_from{};
  bool json = false;
};

/// Constants of the card: of the plant's file, or fitted to another run than the one to be judged.
ReplayHeat heat_of(const ReplayOptions& options, const SimulatedGpuConfig& gpu, Watts idle) {
  if (!options.heat_from) return {.parameters = gpu.thermal, .source = options.plant};
  std::error_code missing;
  if (std::filesystem::equivalent(*options.heat_from, options.run, missing)) {
    throw UsageError(
        fmt::format("--heat-from {}: is the run to be predicted; degrees fitted to it predict "
                    "nothing, name another run of the same card",
                    *options.heat_from));
  }
  return fit_heat(read_recorded_run(*options.heat_from), gpu.thermal, idle);
}

void run(const ReplayOptions& options) {
  const RecordedRun recorded = read_recorded_run(options.run);
  const KernelCostModel costs = KernelCostModel::load(options.cost_model);
  const SimulatedGpuConfig gpu = read_plant(options.plant);
  const RunReplay result = replay(recorded, costs, gpu, heat_of(options, gpu, costs.active_idle()));
  if (options.json) {
    fmt::print("{}\n", json_text(replay_json(result), 2));
  } else {
    fmt::print("{}", printable_lines(replay_text(result)));
  }
}

}  // namespace

void add_replay_command(CLI::App& cost) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<ReplayOptions>();
  CLI::App* command = cost.add_subcommand(
      "replay",
      "Run a recorded run's steps again on the simulated GPU: predicted watts, step times and "
      "degrees beside those that were measured");
  command->add_option("RUN", options->run, "Folder of a run (thermoe run), of a real GPU or not")
      ->required();
  command->add_option("--cost-model", options->cost_model, "What the steps are charged by")
      ->required();
  command
      ->add_option("--heat-from", options->heat_from,
                   "Fit the card's thermal constants to this other run of it, instead of those of "
                   "the plant's file")
      ->type_name("RUN");
  command->add_option("--plant", options->plant, "Limits and heat of the simulated GPU")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->footer(
      "docs/cost-model.md, \"A recorded run, predicted\". Example:\n"
      "  thermoe cost replay runs/cap-2 --cost-model runs/cap-1/cost_model.json --heat-from "
      "runs/cap-1");
  command->callback([options] { run(*options); });
}

}  // namespace thermoe
