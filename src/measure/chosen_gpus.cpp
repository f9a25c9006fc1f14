// SPDX-License-Identifier: Apache-2.0
#include "measure/chosen_gpus.h"

#include <fmt/format.h>

namespace thermoe {

Snapshot ChosenGpus::of(Snapshot snapshot) {
  if (snapshot.gpus.empty()) return snapshot;
  all_ = snapshot.gpus.size();
  selected_ = select(selection_, snapshot.gpus);
  snapshot.gpus = selected_.gpus;
  return snapshot;
}

std::optional<std::string> ChosenGpus::fault() const {
  const bool wrong = selection_.origin == kGpuFlag && !selected_.amiss.empty() && selected_.certain;
  return wrong ? std::optional(selected_.amiss) : std::nullopt;
}

std::string ChosenGpus::note() const {
  if (!selection_.note.empty()) return selection_.note;
  const std::size_t left_out = all_ - selected_.gpus.size();
  if (left_out == 0) return "";
  std::string note = fmt::format("{} of {} GPUs, by {}", left_out, all_, selection_.origin);
  if (selection_.origin != kGpuFlag) note += " (--gpu all measures all)";
  return selected_.amiss.empty() ? note : fmt::format("{}: {}", note, selected_.amiss);
}

}  // namespace thermoe
