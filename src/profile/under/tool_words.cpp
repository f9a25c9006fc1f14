// SPDX-License-Identifier: Apache-2.0
#include "profile/under/tool_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/readable.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

/// What one tool or the other says, as far as it is known, and what it means.
struct Sign {
  std::string_view words{};
  std::string_view meaning{};
  bool mendable = true;
};

constexpr Sign kOfNcu[] = {
    {"failed to connect to the CUDA driver",
     "ncu found no CUDA driver: install the NVIDIA driver; in a container, start it with the GPUs "
     "(docker run --gpus all)"},
    {"Insufficient driver version",
     "ncu is too new for this driver: update the driver, or name an older ncu with --ncu-path"},
    {"driver resource was unavailable",
     "something else holds the GPU's counters, most often DCGM: pause it (dcgmi profile --pause), "
     "or end the other profiler"},
    {"LibraryNotLoaded",
     "ncu cannot load its library for this driver and GPU: a sandbox keeps it away (gVisor does), "
     "or this ncu is too old for the GPU; run on a machine without one, or name a newer ncu with "
     "--ncu-path",
     false},
    {"ailed to initialize the profiler",
     "ncu could not start profiling here; `thermoe doctor` says what it can of the reason", false},
};

constexpr Sign kOfNsys[] = {
    {"nrecognised option",
     "this nsys does not know an option that thermoe gives it, so it is too old: install a current "
     "Nsight Systems, or name one with --nsys-path"},
    {"Illegal --gpu-metrics-device",
     "nsys may not sample the GPU's counters after all: leave them out with --no-gpu-metrics"},
    {"Agent launcher failed", "nsys could not start the command", false},
};

bool denies_counters(const ToolWords& words) {
  return words.contain("ERR_NVGPUCTRPERM") ||
         words.contain("does not have permission to access NVIDIA GPU Performance Counters");
}

}  // namespace

void ToolWords::add(std::string_view bytes) {
  const std::size_t first = std::min(bytes.size(), kKept - begin_.size());
  begin_.append(bytes.substr(0, first));
  end_.append(bytes.substr(first));
  if (end_.size() > 2 * kKept) end_.erase(0, end_.size() - kKept);
}

bool ToolWords::contain(std::string_view words) const {
  if (begin_.size() < kKept) return begin_.find(words) != std::string::npos;
  return begin_.find(words) != std::string::npos || end_.find(words) != std::string::npos ||
         (begin_.substr(kKept - words.size()) + end_.substr(0, words.size())).find(words) !=
             std::string::npos;
}

std::optional<int> ToolWords::number_after(std::string_view words) const {
  const std::string& text = end_.find(words) != std::string::npos ? end_ : begin_;
  const std::size_t at = text.rfind(words);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t from = text.find_first_not_of(" (", at + words.size());
  if (from == std::string::npos) return std::nullopt;
  int number = 0;
  const auto [stop, error] = std::from_chars(text.data() + from, text.data() + text.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

std::string ToolWords::last_line() const {
  const std::string text = trimmed(end_.empty() ? begin_ : end_);
  return printable(trimmed(text.substr(text.find_last_of("\n\r") + 1)), true);
}

std::optional<ToolFault> fault_in(const ToolWords& words, Profiler profiler) {
  if (profiler == Profiler::kNcu && denies_counters(words)) {
    return ToolFault{
        fmt::format("ncu may not read the GPU's performance counters "
                    "(ERR_NVGPUCTRPERM): the driver keeps them for administrators. "
                    "To open them {}",
                    in_one_line(kOpenCounters))};
  }
  const auto say = [&](const auto& signs) -> std::optional<ToolFault> {
    for (const Sign& sign : signs) {
      if (words.contain(sign.words)) return ToolFault{std::string(sign.meaning), sign.mendable};
    }
    return std::nullopt;
  };
  if (profiler == Profiler::kNcu) return say(kOfNcu);
  return say(kOfNsys);
}

bool tell_full_disk(const ToolWords& words) {
  return words.contain("No space left on device") || words.contain("disk is full") ||
         words.contain("Disk quota exceeded") ||
         words.contain("Invalid truncate size");  // nsys 2022.4 of its place in TMPDIR
}

}  // namespace thermoe
