// SPDX-License-Identifier: Apache-2.0
#include "cli/source_option.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/terminal_environment.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/terminal_text.h"

namespace thermoe {

void add_source_options(CLI::App& command, SourceFlags& flags) {
  command
      .add_option("--source", flags.source,
                  "Where readings come from: nvml, host, replay FILE (a recording), simulated "
                  "(default: nvml and host)")
      ->expected(1, 2)
      ->type_name("SOURCE [FILE]");
  command
      .add_option("--gpu", flags.gpu,
                  "Only these GPUs, by NVML index or UUID (GPU-8932f937 is enough of one), or all "
                  "(default: CUDA_VISIBLE_DEVICES, if it is set)")
      ->type_name("LIST");
  command
      .add_option("--nvml-library", flags.nvml_library,
                  "NVML where the loader does not find it, such as /opt/nvidia/libnvidia-ml.so.1")
      ->type_name("PATH");
  command
      .add_option("--plant", flags.plant,
                  "Parameters of the simulated GPU (default: data/h100/plant.json)")
      ->type_name("FILE");
}

std::optional<ChosenSource> chosen_source(const SourceFlags& flags) {
  const std::vector<std::string>& words = flags.source;
  if (words.empty()) return std::nullopt;
  const std::string& word = words.front();
  const std::vector<std::string> known = {"nvml", "host", "replay", "simulated"};
  const auto place = std::ranges::find(known, word);
  if (place == known.end()) {
    const auto near = nearest_name(word, known);
    throw UsageError(fmt::format("--source {}: is not one of nvml, host, replay FILE, simulated{}",
                                 word, near ? fmt::format("; did you mean {}?", *near) : ""));
  }
  constexpr SourceKind kKinds[] = {SourceKind::kNvml, SourceKind::kHost, SourceKind::kReplay,
                                   SourceKind::kSimulated};
  ChosenSource chosen{.kind = kKinds[place - known.begin()]};
  const bool replay = chosen.kind == SourceKind::kReplay;
  if (replay && words.size() < 2) {
    throw UsageError("--source replay: needs a FILE, as thermoe monitor --csv writes it");
  }
  if (!replay && words.size() > 1) {
    throw UsageError(fmt::format("--source {} {}: only replay takes a FILE", word, words.back()));
  }
  if (replay) chosen.replay_file = words.back();
  return chosen;
}

GpuSelection chosen_gpus(const SourceFlags& flags, SourceKind source,
                         std::optional<std::string_view> without_gpus) {
  if (source == SourceKind::kHost && !without_gpus) without_gpus = "--source host";
  if (flags.gpu) {
    GpuSelection chosen = gpus_of_flag(*flags.gpu);
    if (!without_gpus) return chosen;
    throw UsageError(fmt::format("--gpu {}: {} has no GPUs to choose from; leave it out",
                                 printable(*flags.gpu, true), *without_gpus));
  }
  const bool live = source == SourceKind::kMachine || source == SourceKind::kNvml;
  const auto visible = environment_variable("CUDA_VISIBLE_DEVICES");
  return visible && live && !without_gpus ? gpus_of_cuda(*visible) : GpuSelection{};
}

}  // namespace thermoe
