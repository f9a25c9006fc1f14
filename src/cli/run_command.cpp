// SPDX-License-Identifier: Apache-2.0
#include "cli/run_command.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/kernels_option.h"
#include "cli/metrics_option.h"
#include "cli/number_option.h"
#include "cli/terminal_progress.h"
#include "cli/version.h"
#include "control/make_controller.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "cost/cost_writer.h"
#include "moe/model_weights.h"
#include "moe/peak_memory.h"
#include "report/html_report.h"
#include "report/summary_table.h"
#include "run/check_experiment.h"
#include "run/forced_decode.h"
#include "run/gpu_session.h"
#include "run/model_decoder.h"
#include "run/run_experiment.h"
#include "run/run_folder.h"
#include "run/tick_metrics.h"
#include "run/trace_decoder.h"

namespace thermoe {
namespace {

struct RunOptions {
  std::string file{};
  std::optional<std::string> out{};
  bool force = false;
  std::optional<std::uint64_t> seed{};
  std::vector<std::string> strategies{};
  std::optional<double> power_cap{}, temperature_cap{}, step_cap{}, price{};
  std::optional<double> between_tokens_cap{}, first_token_cap{};
  std::optional<std::string> machine{};
  std::optional<std::string> cost_model{};
  std::optional<int> round{};
  bool calibrate = false;
  std::string kernels{to_string(Backend::kCpu)};
  bool quick = false;
  bool json = false;
  bool no_report = false;
  MetricsFlags metrics{};
};

Strategy parse_strategy(const std::string& name) {
  if (const auto strategy = strategy_from(name)) return *strategy;
  const std::vector<std::string> known = strategy_names();
  const auto near = nearest_name(name, known);
  throw UsageError(fmt::format("--strategy {}: is not one of {}{}", name, fmt::join(known, ", "),
                               near ? fmt::format("; did you mean {}?", *near) : ""));
}

void apply_target_flags(const RunOptions& options, Targets& targets) {
  if (options.power_cap) targets.power = Watts(*options.power_cap);
  if (options.temperature_cap) targets.temperature = Celsius(*options.temperature_cap);
  if (options.step_cap) targets.step_time = Seconds(1e-3 * *options.step_cap);
  if (options.between_tokens_cap)
    targets.between_tokens = Seconds(1e-3 * *options.between_tokens_cap);
  if (options.first_token_cap) targets.to_first_token = Seconds(1e-3 * *options.first_token_cap);
}

void apply_machine_flags(const RunOptions& options, Experiment& e) {
  if (options.machine) {
    e.machine = *options.machine == "gpu" ? MachineKind::kGpu : MachineKind::kSimulated;
  }
  if (options.cost_model) e.cost_model = *options.cost_model;
  if (options.calibrate && e.machine != MachineKind::kGpu) {
    throw UsageError(fmt::format(
        "--calibrate: {} runs on the simulated machine, whose costs are read from a file; leave it "
        "out, or run on a GPU with --machine gpu",
        e.name));
  }
  if (options.calibrate && options.cost_model) {
    throw UsageError("--calibrate and --cost-model: say where costs come from in one way only");
  }
  e.gpu.calibrate = options.calibrate || (e.gpu.calibrate && !options.cost_model);
  if (options.round && *options.round > e.rounds) {
    throw UsageError(
        fmt::format("--round {}: {} has {} round{}; give one of them, or raise its "
                    "\"rounds\"",
                    *options.round, e.name, e.rounds, e.rounds == 1 ? "" : "s"));
  }
  if (options.round) e.round = options.round;
}

/// The experiment file with the flags applied.
Experiment chosen_experiment(const RunOptions& options) {
  Experiment e = read_experiment(options.file);
  if (options.quick) e = quick(e);
  if (options.seed) e.seed = *options.seed;
  if (options.price) e.control.price = options.price;
  apply_target_flags(options, e.targets);
  apply_machine_flags(options, e);
  if (!options.strategies.empty()) {
    e.strategies.clear();
    for (const std::string& name : options.strategies) {
      const Strategy strategy = parse_strategy(name);
      if (std::find(e.strategies.begin(), e.strategies.end(), strategy) != e.strategies.end()) {
        throw UsageError(fmt::format("--strategy {}: is given twice; keep one", name));
      }
      e.strategies.push_back(strategy);
    }
  }
  if (options.price &&
      std::ranges::find(e.strategies, Strategy::kStaticOptimal) == e.strategies.end()) {
    throw UsageError(fmt::format(
        "--price {}: is STATIC_OPTIMAL's, which does not run; add --strategy STATIC_OPTIMAL, or "
        "leave it out",
        *options.price));
  }
  return e;
}

void print_result(const RunResult& result, const std::string& folder, bool json) {
  if (json) {
    fmt::print("{}\n", json_text(to_json(result.summary), 2));
    for (const std::string& note : notes(result.summary)) {
      say(printable(note, true) + "\n");
    }
    return;
  }
  fmt::print("\n{}Files: {}\n", printable_lines(summary_table(result.summary)),
             printable(folder, true));
}

/// Writes report.html and names it; on stderr where stdout is for JSON.
void report(const std::string& folder, bool json) {
  const std::string path = default_report_path({folder});
  write_html_report({folder}, path, kVersion);
  const std::string words =
      fmt::format("Report: {} (opens in any browser, offline)\n", printable(path, true));
  if (json) {
    say(words);
  } else {
    fmt::print("{}", words);
  }
}

/// A model on the experiment's texts, or a recorded router: whatever the experiment decodes.
class ChosenDecoder {
 public:
  /// `inputs` must outlive this. Throws FormatError for what does not fit the experiment.
  ChosenDecoder(const ExperimentInputs& inputs, Backend kernels) {
    const Experiment& e = inputs.experiment;
    if (inputs.trace) {
      if (kernels != Backend::kCpu) {
        throw UsageError(fmt::format(
            "--kernels {}: {} replays a recorded router, which runs no model; leave it out",
            to_string(kernels), e.name));
      }
      check_experiment(inputs);
      steps_ = trace_decoder(inputs);
      return;
    }
    const std::string path = find_file(e, "/model", e.model);
    check_experiment(inputs, read_model_config(path));
    model_ = std::make_unique<ModelDecoder>(Decoder::load(path, {.streams = e.batch,
                                                                 .context = e.text.context,
                                                                 .experts = e.expert_type,
                                                                 .kernels = kernels}));
    const auto decoding = [&](const DocumentText& text) {
      return std::make_unique<ForcedDecode>(*model_, text, stream_options(e));
    };
    steps_ = decoding(inputs.texts->decoded);
    calibration_ = decoding(inputs.texts->calibration);
  }

  StepDecoder& steps() { return *steps_; }
  StepDecoder& calibration() { return calibration_ ? *calibration_ : *steps_; }

 private:
  std::unique_ptr<ModelDecoder> model_{};
  std::unique_ptr<StepDecoder> steps_{}, calibration_{};
};

[[noreturn]] void stopped(const std::string& folder) {
  throw Error(fmt::format(
      "interrupted: {}/metrics.csv holds what was measured until then; there is no "
      "summary.json, as the run is not complete (thermoe report {} draws what is there)",
      folder, folder));
}

/// The experiment on its machine: with what it needs of the process.
class ExperimentMachine {
 public:
  /// `inputs` must outlive this; on a GPU they get what is known of it.
  ExperimentMachine(ExperimentInputs& inputs, StepDecoder& decoder, Progress& progress,
                    const std::atomic<bool>& stop)
      : inputs_(inputs), decoder_(decoder) {
    if (inputs.experiment.machine != MachineKind::kGpu) return;
    gpu_.emplace(inputs, decoder,
                 GpuSessionOptions{.program = std::filesystem::read_symlink("/proc/self/exe")},
                 progress, stop);
  }

  /// Costs of the load, where the experiment wants them measured first. Written into the folder.
  void calibrate(const std::string& folder, Progress& progress) {
    if (!gpu_ || !inputs_.experiment.gpu.calibrate) return;
    const std::optional<CostCalibration> found = gpu_->calibrate();
    if (!found) stopped(folder);
    write_cost_model(found->costs, folder + "/cost_model.json");
    progress.note(to_text(*found));
    check_costs(inputs_);
  }

  MachineFactory factory() {
    return gpu_ ? gpu_->machines() : simulated_machines(inputs_, decoder_);
  }

 private:
  ExperimentInputs& inputs_;
  StepDecoder& decoder_;
  std::optional<GpuSession> gpu_{};
};

/// Publishes the run's ticks where they are served.
std::function<void(const MetricsRow&)> publisher(ServedMetrics* served, const std::string& name) {
  if (served == nullptr) return {};
  const auto metrics = std::make_shared<TickMetrics>(served->board(), name);
  return [metrics](const MetricsRow& row) { metrics->add(row); };
}

/// What a real machine does in the middle of a run ends it: with what there is.
RunResult run_to_the_end(const ExperimentInputs& inputs, const std::string& folder,
                         const RunServices& services) {
  try {
    return run_experiment(inputs, folder, services);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    throw Error(
        fmt::format("{}\n{}/metrics.csv holds what was measured until then; there is no "
                    "summary.json (thermoe report {} draws what is there)",
                    error.what(), folder, folder));
  }
}

void run(const RunOptions& options, const std::atomic<bool>& stop) {
  // The adapter's tensors are small: handing them to a pool of threads costs several times the
  // work.
  at::set_num_threads(1);
  const Backend kernels = checked_kernels(options.kernels);
  const Experiment experiment = chosen_experiment(options);
  // Before a GPU is loaded and another tenant calibrated for it.
  if (options.out) check_run_folder(*options.out, options.force);
  const auto served = serve_metrics(options.metrics);
  ExperimentInputs inputs = load_inputs(experiment);
  ChosenDecoder decoder(inputs, kernels);
  RunResult result;
  std::string folder;
  {
    TerminalProgress progress;
    ExperimentMachine machine(inputs, decoder.steps(), progress, stop);
    folder = make_run_folder(options.out, experiment.name, options.force);
    write_config(folder, inputs);
    machine.calibrate(folder, progress);
    result = run_to_the_end(inputs, folder,
                            {.decoder = decoder.steps(),
                             .calibration = decoder.calibration(),
                             .make_controller = make_controller,
                             .make_machine = machine.factory(),
                             .reset_peak_memory = reset_peak_memory,
                             .peak_memory_bytes = peak_memory_bytes,
                             .progress = progress,
                             .stop = stop,
                             .on_tick = publisher(served.get(), experiment.name)});
  }
  if (!result.complete) stopped(folder);
  print_result(result, folder, options.json);
  if (!options.no_report) report(folder, options.json);
}

}  // namespace

void add_run_command(CLI::App& app, const std::atomic<bool>& stop) {
  // Shared by the callback, which outlives this function.
  const auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand(
      "run", "Run an experiment: compare routing strategies under a hardware target");
  command->add_option("FILE", options->file, "An experiment, such as experiments/demo.json")
      ->required();
  command->add_option("--out", options->out,
                      "Folder for the run's files; new or empty (default: runs/<name>-<n>)");
  command->add_flag("--force", options->force, "Replace the run that --out already holds");
  command->add_option("--seed", options->seed, "Seed of text order, sensor noise and adapter")
      ->check(whole_number(0));
  command
      ->add_option("--strategy", options->strategies,
                   "Run only this one: BASELINE, STATIC_OPTIMAL, KERNEL_AWARE_TTHA, REDUCED_K or "
                   "OPPORTUNISTIC, where requests arrive also PRICE_ALONE, PACING_ALONE or "
                   "LARGER_BATCH; may be given several times")
      ->allow_extra_args(false);
  command->add_option("--power-cap", options->power_cap, "Power target in W instead of the file's")
      ->check(real_number(1.0, 1e5));
  command
      ->add_option("--temperature-cap", options->temperature_cap,
                   "Target of the die's temperature in degrees C instead of the file's")
      ->check(real_number(1.0, 150.0));
  command
      ->add_option("--step-cap", options->step_cap,
                   "Target of a decode step's time in ms instead of the file's")
      ->check(real_number(1e-3, 1e6));
  command
      ->add_option("--between-tokens-cap", options->between_tokens_cap,
                   "Where requests arrive: target of the mean time between tokens in ms instead of "
                   "the file's")
      ->check(real_number(1e-3, 1e6));
  command
      ->add_option("--first-token-cap", options->first_token_cap,
                   "Likewise of the time to the first token")
      ->check(real_number(1e-3, 1e8));
  command
      ->add_option("--price", options->price,
                   "lambda of STATIC_OPTIMAL's plan, instead of a calibrated one")
      ->check(real_number(0.0, 1e6));
  command
      ->add_option("--machine", options->machine,
                   "What burns the watts: simulated, or gpu, this machine's (docs/gpu.md)")
      ->check(CLI::IsMember({"simulated", "gpu"}));
  command->add_flag(
      "--calibrate", options->calibrate,
      "On a GPU: measure the costs of this load first, in at most 90 s, and use them");
  command->add_option("--cost-model", options->cost_model,
                      "What the controller believes, instead of the file's");
  command->add_option("--round", options->round, "Only this one of the experiment's rounds, from 1")
      ->check(whole_number(1));
  add_kernels_option(*command, options->kernels)->capture_default_str();
  command->add_flag("--quick", options->quick, "At most 60 s, BASELINE and KERNEL_AWARE_TTHA only");
  command->add_flag("--json", options->json, "Print the summary as JSON instead of a table");
  command->add_flag("--no-report", options->no_report, "Leave report.html out");
  add_metrics_options(*command, options->metrics);
  command->footer(
      "Examples:\n"
      "  thermoe run experiments/demo.json\n"
      "  thermoe run experiments/demo.json --quick --json\n"
      "  thermoe run experiments/trace.json      a recorded router in the place of a model\n"
      "  thermoe run experiments/serving_steady.json --between-tokens-cap 24     requests arrive\n"
      "  thermoe run experiments/demo.json --strategy KERNEL_AWARE_TTHA --power-cap 300 --out "
      "runs/300w\n"
      "The folder holds config.json, metrics.csv (a row a strategy and tick), expert_usage.csv,\n"
      "expert_bias.csv, details.json, summary.json and report.html; docs/experiments.md explains "
      "fields\n"
      "and columns. Ctrl-C stops after the tick under way: metrics.csv stays readable and no "
      "summary.json is written.");
  command->callback([options, &stop] { run(*options, stop); });
}

}  // namespace thermoe
