// SPDX-License-Identifier: Apache-2.0
#include "cli/profile_under.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "cli/parse_command.h"
#include "core/errors.h"
#include "core/say.h"
#include "core/terminal_text.h"
#include "profile/parse_report.h"
#include "profile/under/run_under.h"

namespace thermoe {
namespace {

constexpr std::size_t kRows = 20;
constexpr const char* kExecutionsOfNcu = "4";  // it runs each kernel some forty times by itself

void set_unless_given(std::vector<std::string>& words, const std::string& flag,
                      const std::string& value) {
  const auto gives = [&](const std::string& word) { return word.starts_with(flag); };
  if (std::ranges::none_of(words, gives)) words.insert(words.end(), {flag, value});
}

UnderRequest request_of(const UnderFlags& flags, const UnderTask& task) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  UnderRequest request{.profiler = flags.with == "ncu" ? Profiler::kNcu : Profiler::kNsys,
                       .child = {program},
                       .folder = task.out,
                       .recorder = {program, "monitor", "--source", "nvml", "--csv"},
                       .gpu_metrics = !flags.no_gpu_metrics};
  if (flags.replay == "application") request.replay = NcuReplay::kApplication;
  const std::string& path = flags.with == "ncu" ? flags.ncu_path : flags.nsys_path;
  if (!path.empty()) request.tool = path;
  if (!task.nvml_library.empty()) {
    request.recorder.insert(request.recorder.end(), {"--nvml-library", task.nvml_library});
  }
  if (!task.cost_model.empty()) request.cost_model = task.cost_model;
  // A folder of its own: the child goes on where the last one under this profiler stopped.
  const auto below = std::filesystem::path(task.out) / (flags.with + "-child");
  for (std::string& word : child_arguments(task.arguments)) {
    request.child.push_back(std::move(word));
  }
  request.child.insert(request.child.end(), {"--out", below.string()});
  set_unless_given(request.child, "--kernels", "cuda");  // which it refuses where there is none
  if (flags.with == "ncu") set_unless_given(request.child, "--executions", kExecutionsOfNcu);
  return request;
}

}  // namespace

void add_under_flags(CLI::App& command, UnderFlags& flags) {
  CLI::Option* with =
      command
          .add_option("--with", flags.with,
                      "Run under this profiler instead of timing in process: nsys or ncu")
          ->check(CLI::IsMember({"nsys", "ncu"}));
  command
      .add_option("--nsys-path", flags.nsys_path,
                  "This nsys (default: on PATH, else the newest of its usual folders)")
      ->needs(with);
  command.add_option("--ncu-path", flags.ncu_path, "This ncu (default: likewise)")->needs(with);
  command
      .add_option("--replay", flags.replay,
                  "What ncu repeats to read all counters: kernel or application")
      ->check(CLI::IsMember({"kernel", "application"}))
      ->needs(with)
      ->capture_default_str();
  command
      .add_flag("--no-gpu-metrics", flags.no_gpu_metrics,
                "nsys does not sample the GPU's counters, though it may")
      ->needs(with);
  command
      .add_flag("--dry-run", flags.dry_run, "Print the commands that would be run, and run nothing")
      ->needs(with);
}

int profile_under(const UnderFlags& flags, const UnderTask& task) {
  const UnderRequest request = request_of(flags, task);
  const ProgramPlaces places = own_program_places();
  const Tell tell = [](const std::string& text) {
    say(fmt::format("profile: {}\n", printable(text, true)));
  };
  if (flags.dry_run) {
    fmt::print("{}", printable_lines(to_shell(plan_under(request, places, tell))));
    return 0;
  }
  SignalQueue signals;
  const UnderResult result = run_under(request, places, signals, tell);
  if (result.merged) say_merged(*result.merged, task.cost_model);
  if (result.profile) fmt::print("{}", printable_lines(to_text(*result.profile, kRows)));
  for (const std::string& file : result.files) tell("wrote " + file);
  return result.exit_code;
}

std::vector<std::string> own_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  if (words.empty()) throw Error("/proc/self/cmdline: cannot be read, and --with needs it");
  words.erase(words.begin());
  return words;
}

std::vector<std::string> child_arguments(const std::vector<std::string>& arguments) {
  constexpr std::string_view kWithValue[] = {"--with",   "--nsys-path",    "--ncu-path",
                                             "--replay", "--out",          "--cost-model",
                                             "--cupti",  "--nvml-library", "--anchors"};
  constexpr std::string_view kAlone[] = {"--no-gpu-metrics", "--dry-run", "--energy", "--thermal",
                                         "--strain"};
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto is_of = [&](std::string_view flag) { return word == flag; };
    const auto begins = [&](std::string_view flag) {
      return word.starts_with(flag) && word.substr(flag.size()).starts_with('=');
    };
    if (std::ranges::any_of(kAlone, is_of) || std::ranges::any_of(kWithValue, begins)) continue;
    if (std::ranges::any_of(kWithValue, is_of)) {
      ++i;
    } else {
      kept.push_back(word);
    }
  }
  kept.emplace_back("--child");
  return kept;
}

}  // namespace thermoe
