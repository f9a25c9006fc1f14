// SPDX-License-Identifier: Apache-2.0
#include "cli/source_option.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {

void add_source_option(CLI::App& command, std::vector<std::string>& words) {
  command
      .add_option("--source", words,
                  "Where readings come from: nvml, host, replay FILE (a recording), simulated "
                  "(default: nvml and host)")
      ->expected(1, 2)
      ->type_name("SOURCE [FILE]");
}

std::optional<ChosenSource> chosen_source(const std::vector<std::string>& words) {
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

}  // namespace thermoe
