// SPDX-License-Identifier: Apache-2.0
#include "cli/profile_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/interrupt_watch.h"
#include "cli/kernels_option.h"
#include "cli/number_option.h"
#include "cli/profile_step.h"
#include "cli/profile_under.h"
#include "core/clock.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "profile/ops/profiled_model.h"
#include "profile/record/run_profile.h"

namespace thermoe {
namespace {

constexpr int kMostTokens = 1 << 16;
constexpr int kMostSize = 1 << 20;
constexpr const char* kDefaultModel = "Qwen3-30B-A3B";
constexpr double kThermalSeconds = 90.0;
constexpr double kStrainSeconds = 25.0;

struct Flags {
  std::vector<std::string> models{}, sweeps{};
  std::vector<int> shape{};
  PointGrid grid{};
  std::string kernels{}, out{}, budget{}, cupti{}, nvml_library{}, cost_model{};
  int executions = ProfileTiming{}.executions;
  int anchors = 60;
  double repeat_percent = 0.0;
  std::int64_t seed = 1;
  bool energy = false, thermal = false, strain = false, list = false, child = false,
       files_only = false, step = false;
  UnderFlags under{};
};

/// "8m", "90s", "1h"; not "8", by which some mean seconds and some minutes.
std::optional<Seconds> read_budget(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::string number = text.substr(0, text.size() - 1);
  const char unit = text.back();
  if ((unit != 's' && unit != 'm' && unit != 'h') || !real_number(1e-3, 1e6)(number).empty()) {
    throw UsageError(
        fmt::format("--budget {}: must be a time and its unit, such as 90s, 8m or 1h", text));
  }
  return Seconds(std::stod(number) * (unit == 's' ? 1.0 : unit == 'm' ? 60.0 : 3600.0));
}

std::vector<ProfiledModel> chosen_models(const Flags& flags) {
  std::vector<ProfiledModel> models;
  for (const std::string& name : flags.models) models.push_back(profiled_model(name));
  for (const std::string& axis : flags.sweeps) {
    const bool model_width = axis == "d_model";
    for (ProfiledModel& model :
         sweep_models(model_width ? SweepAxis::kModelWidth : SweepAxis::kExpertWidth)) {
      models.push_back(std::move(model));
    }
  }
  if (!flags.shape.empty()) {
    ProfiledModel own = profiled_model(kDefaultModel);
    own.experts.name = "own";
    own.experts.experts = flags.shape.at(0), own.experts.top_k = flags.shape.at(1);
    own.experts.d_model = flags.shape.at(2), own.experts.d_ff = flags.shape.at(3);
    if (own.experts.top_k > own.experts.experts) {
      throw UsageError("--shape: has more experts a token than experts; write E k d_model d_ff");
    }
    models.push_back(own);
  }
  if (models.empty()) models.push_back(profiled_model(kDefaultModel));
  return models;
}

/// Whose layers a folder's tables may be, which may be of earlier commands: this command's models,
/// and all that are known by name.
std::vector<ExpertShape> named_shapes(const Flags& flags) {
  std::vector<ProfiledModel> models = chosen_models(flags);
  models.insert(models.end(), profiled_models().begin(), profiled_models().end());
  std::vector<ExpertShape> shapes;
  for (const ProfiledModel& model : models) {
    const auto known = std::ranges::find(shapes, model.experts.name, &ExpertShape::name);
    if (known == shapes.end()) shapes.push_back(model.experts);
  }
  return shapes;
}

void check_ops(const std::vector<std::string>& ops) {
  for (const std::string& op : ops) {
    const auto& known = profiled_ops();
    if (std::find(known.begin(), known.end(), op) != known.end()) continue;
    const auto nearest = nearest_name(op, known);
    throw UsageError(fmt::format("--op {}: is not known; known are {}{}", op,
                                 fmt::join(known, ", "),
                                 nearest ? fmt::format("; did you mean {}?", *nearest) : ""));
  }
}

/// A plan may be of another machine's.
Backend chosen_backend(const Flags& flags) {
  if (flags.list && !flags.kernels.empty()) return backend_from(flags.kernels).value();
  if (!flags.kernels.empty()) return checked_kernels(flags.kernels);
  return backend_problem(Backend::kCuda) ? Backend::kCpu : Backend::kCuda;
}

ProfileRequest request_of(const Flags& flags, Backend backend) {
  ProfileRequest request{
      .out = flags.out, .budget = read_budget(flags.budget), .merge_into = flags.cost_model};
  PointGrid grid = flags.grid;
  if (grid.dtypes.empty()) {
    grid.dtypes = {backend == Backend::kCpu ? "f32" : "bf16", "int4"};
  }
  check_ops(grid.ops);
  request.models = named_shapes(flags);
  for (const ProfiledModel& model : chosen_models(flags)) {
    for (ProfilePoint& point : profile_points(model, grid)) {
      const auto known = [&](const ProfilePoint& p) { return p.point == point.point; };
      if (std::find_if(request.points.begin(), request.points.end(), known) ==
          request.points.end()) {
        request.points.push_back(std::move(point));
      }
    }
  }
  if (request.points.empty()) throw UsageError("--op: leaves no point of these dtypes");
  request.timing.executions = flags.executions;
  request.repeated_share = flags.repeat_percent / 100.0;
  if (flags.energy) request.anchors = flags.anchors;
  if (flags.thermal) request.timing.thermal = Seconds(kThermalSeconds);
  if (flags.strain) request.timing.strain = Seconds(kStrainSeconds);
  return request;
}

void list_plan(const Flags& flags) {
  const Backend backend = chosen_backend(flags);
  const ProfileRequest request = request_of(flags, backend);
  const ProfileFacts facts{.seed = static_cast<std::uint64_t>(flags.seed)};
  fmt::print("{}", to_text(plan_of(request, facts, backend), backend, request.timing));
}

void run_under_profiler(const Flags& flags) {
  const int code = profile_under(flags.under, {.arguments = own_arguments(),
                                               .out = flags.out,
                                               .cost_model = flags.cost_model,
                                               .nvml_library = flags.nvml_library});
  if (code != 0) throw CLI::RuntimeError(code);
}

/// Under a profiler the times are its to tell.
void tell(const ProfileResult& result, bool child) {
  if (!child) {
    fmt::print("{}", printable_lines(to_text(result)));
    std::fflush(stdout);  // ahead of what stderr says of it
    return;
  }
  for (const std::string& note : result.notes) {
    say(fmt::format("profile: {}\n", printable(note, true)));
  }
}

void run_steps(const Flags& flags) {
  const std::vector<ProfiledModel> models = chosen_models(flags);
  const std::vector<std::string>& dtypes = flags.grid.dtypes;
  if (models.size() != 1 || dtypes.size() > 1) {
    throw UsageError("--step: steps are of one model in one precision; name one --model, --dtype");
  }
  if (!dtypes.empty() && dtypes.front() == "f32") {
    throw UsageError("--dtype f32: a GPU's experts are bf16 or int4");
  }
  std::atomic<bool> stop{false};
  const InterruptWatch interrupts(stop);
  const bool complete = profile_step({.model = models.front(),
                                      .dtype = dtypes.empty() ? "bf16" : dtypes.front(),
                                      .tokens = flags.grid.tokens,
                                      .out = flags.out,
                                      .cost_model = flags.cost_model,
                                      .nvml_library = flags.nvml_library,
                                      .seed = static_cast<std::uint64_t>(flags.seed)},
                                     stop);
  if (complete) return;
  say("profile: stopped; the same command goes on from here\n");
  throw CLI::RuntimeError(1);
}

/// Records name no models: all that are known are asked whether these layers are theirs.
ProfileResult files_of(const Flags& flags) {
  return profile_files(
      {.out = flags.out, .models = named_shapes(flags), .merge_into = flags.cost_model});
}

void run(const Flags& flags) {
  if (flags.list) return list_plan(flags);
  if (flags.out.empty()) {
    throw UsageError("profile: where to? Name a folder with --out, or print the plan with --list");
  }
  if (flags.step) return run_steps(flags);
  if (flags.files_only) return tell(files_of(flags), false);
  if (!flags.under.with.empty()) return run_under_profiler(flags);
  std::atomic<bool> stop{false};
  // Not beside a profiler, to which signals are handed on. Its child ends at once: nsys does not
  // wait.
  std::optional<InterruptWatch> interrupts;
  if (!flags.child) interrupts.emplace(stop);
  const Backend backend = chosen_backend(flags);
  const ProfileRequest request = request_of(flags, backend);
  const SteadyClock clock;
  ProfileMachine machine = open_profile_machine({.backend = backend,
                                                 .seed = static_cast<std::uint64_t>(flags.seed),
                                                 .use_cupti = !flags.child,
                                                 .cupti = flags.cupti,
                                                 .nvml_library = flags.nvml_library},
                                                clock);
  const ProfileResult result = run_profile(
      request, {.machine = machine,
                .clock = clock,
                .rest =
                    [](Seconds time) {
                      std::this_thread::sleep_for(std::chrono::duration<double>(time.value));
                    },
                .stop = stop,
                .progress =
                    [](std::string_view what, Seconds done, Seconds of) {
                      say(fmt::format("{:5.0f} of {:.0f} s  {}\n", done.value, of.value,
                                      printable(what, true)));
                    }});
  tell(result, flags.child);
  if (flags.child) return;  // out of time or not, what it did is there to be read
  if (!result.complete) {
    say("profile: ended before its plan; the same command goes on from here\n");
    throw CLI::RuntimeError(1);
  }
}

void add_points(CLI::App& command, Flags& flags) {
  std::vector<std::string> models;
  for (const ProfiledModel& model : profiled_models()) models.push_back(model.experts.name);
  command.add_option("--model", flags.models,
                     fmt::format("At this model's sizes: {} (default: {}); may be given again",
                                 fmt::join(models, ", "), kDefaultModel));
  command
      .add_option("--sweep", flags.sweeps,
                  "Qwen3-30B-A3B with one size changed and all else as it is: d_model or d_ff")
      ->check(CLI::IsMember({"d_model", "d_ff"}));
  command.add_option("--shape", flags.shape, "A layer of these sizes: E k d_model d_ff")
      ->expected(4)
      ->check(whole_number(1, kMostSize));
  command.add_option("--op", flags.grid.ops,
                     fmt::format("Only these: {}", fmt::join(profiled_ops(), ", ")));
  command
      .add_option("--dtype", flags.grid.dtypes,
                  "Of weights: f32 (cpu), bf16, int4; default: f32 or bf16, and int4")
      ->check(CLI::IsMember({"f32", "bf16", "int4"}));
  command.add_option("--tokens", flags.grid.tokens, "Batches")
      ->check(whole_number(1, kMostTokens))
      ->capture_default_str();
  command.add_option("--active", flags.grid.active, "Distinct active experts of a layer")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  command.add_option("--context", flags.grid.context, "Positions that attention looks back on")
      ->check(whole_number(1, kMostSize))
      ->capture_default_str();
}

void add_measurement(CLI::App& command, Flags& flags) {
  command
      .add_option("--kernels", flags.kernels,
                  "Whose: cuda (default where there is a CUDA device) or cpu")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  command.add_option("--executions", flags.executions, "Timed executions of a point")
      ->check(whole_number(1, 100000))
      ->capture_default_str();
  command.add_flag("--energy", flags.energy,
                   "Also measure the energy of anchor points, each in a window of 5 s or more "
                   "between idle ones");
  command.add_option("--anchors", flags.anchors, "Most anchor points")
      ->check(whole_number(1, 10000))
      ->capture_default_str();
  command
      .add_option("--repeat", flags.repeat_percent,
                  "Time so many percent of the points again, behind all others, and say how far "
                  "they moved")
      ->check(real_number(0.0, 100.0))
      ->capture_default_str();
  command.add_flag("--thermal", flags.thermal,
                   "Also measure a step response of the temperature, 90 s, and fit it");
  command.add_flag(
      "--strain", flags.strain,
      "Also work at 4096 tokens in bursts and without a pause, 25 s, and fit the power "
      "sensor's lag and what the power limit costs");
  command.add_option("--seed", flags.seed, "Of data, picks and the order of windows")
      ->check(whole_number(0, 1 << 30))
      ->capture_default_str();
  command.add_flag(
      "--child", flags.child,
      "Being profiled from outside: leave CUPTI to that profiler, and time by CUDA events");
  command.add_option("--cupti", flags.cupti,
                     "CUPTI's library, where it is not where it usually is");
  command.add_option("--nvml-library", flags.nvml_library, "NVML to load instead of the driver's");
}

/// What whole steps have no use for is refused, and they have a batch of their own by default.
void settle_step(const CLI::App& command, Flags& flags) {
  if (!flags.step) return;
  for (const char* other :
       {"--sweep", "--shape", "--op", "--active", "--context", "--kernels", "--executions",
        "--energy", "--anchors", "--repeat", "--thermal", "--strain", "--child", "--with",
        "--budget", "--list", "--files-only"}) {
    if (command.count(other) == 0) continue;
    throw UsageError(fmt::format("--step: measures whole steps; {} goes without it", other));
  }
  if (command.count("--tokens") == 0) flags.grid.tokens = {16};
}

}  // namespace

void add_profile_command(CLI::App& app) {
  // Shared by the callback, which outlives this function.
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand(
      "profile", "Measure what each op of an expert costs here: time, energy, heat; a cost model");
  add_points(*command, *flags);
  add_measurement(*command, *flags);
  add_under_flags(*command, flags->under);
  command->add_option("--out", flags->out,
                      "Folder for records.jsonl, profile.json and kernel_cost_model.json; what it "
                      "has is not measured again");
  command->add_option("--cost-model", flags->cost_model,
                      "Also merge the tables into this cost model of the same device");
  command->add_option("--budget", flags->budget,
                      "Longest time, as 90s, 8m or 1h: plans what fits and says what it left out");
  command->add_flag("--list", flags->list, "Print the plan and end");
  command->add_flag("--files-only", flags->files_only,
                    "Measure nothing: write the folder's files again from its records.jsonl, which "
                    "may be another machine's");
  command->add_flag(
      "--step", flags->step,
      "Measure whole steps of --model (one), at each of --tokens (default: 16) in 90 s, into "
      "steps.csv, and put what they cost beside their expert layers into --cost-model");
  command->footer(
      "Examples:\n"
      "  thermoe profile --list --budget 8m                      # what would run\n"
      "  thermoe profile --model Qwen3-30B-A3B --energy --budget 8m --out profiles/qwen3\n"
      "  thermoe profile --shape 8 2 256 128 --kernels cpu --out profiles/small\n"
      "  thermoe profile --step --cost-model profiles/qwen3/kernel_cost_model.json --out "
      "profiles/steps\n"
      "  thermoe profile --op fc1 fc2 --with nsys --budget 4m --out profiles/qwen3\n"
      "The same command goes on where it stopped. docs/profile.md has the method,\n"
      "docs/profile-tools.md what runs under nsys and ncu.\n"
      "Exit codes: 0 done, 1 stopped, out of time or failed, 2 bad input.");
  command->callback([flags, command] {
    settle_step(*command, *flags);
    run(*flags);
  });
}

}  // namespace thermoe
