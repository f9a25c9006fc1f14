// SPDX-License-Identifier: Apache-2.0
#include "telemetry/gpu_selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <set>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr const char* kCuda = "CUDA_VISIBLE_DEVICES";
constexpr std::size_t kListed = 16;  // GPUs that a message names

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

std::vector<std::string> entries(std::string_view text) {
  std::vector<std::string> all;
  while (true) {
    const std::size_t comma = text.find(',');
    all.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return all;
    text.remove_prefix(comma + 1);
  }
}

/// Whether `text` begins with `start`, in letters of either case: UUIDs are hexadecimal.
bool begins(std::string_view text, std::string_view start) {
  const auto same = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  return text.size() >= start.size() &&
         std::ranges::equal(text.substr(0, start.size()), start, same);
}

bool is_mig(std::string_view name) { return begins(name, "MIG"); }
bool is_uuid(std::string_view name) { return begins(name, "GPU-") && name.size() > 4; }

std::optional<unsigned> index_of(std::string_view name) {
  if (name.size() > 1 && name.front() == '0') return std::nullopt;  // 010: octal to some
  unsigned index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole ? std::optional(index) : std::nullopt;
}

/// What there is: "0, 1, 2", or "GPU 0 (GPU-8932f937-...), GPU 1" for who asked for a UUID.
std::string listed(const std::vector<GpuReading>& gpus, bool by_index) {
  std::vector<std::string> words;
  for (const GpuReading& gpu : gpus) {
    if (words.size() == kListed) {
      words.push_back(fmt::format("{} more", gpus.size() - kListed));
      break;
    }
    const bool bare = by_index || gpu.uuid.empty();
    words.push_back(fmt::format("{}{}{}", by_index ? "" : "GPU ", gpu.index,
                                bare ? "" : fmt::format(" ({})", gpu.uuid)));
  }
  return words.empty() ? "none" : fmt::format("{}", fmt::join(words, ", "));
}

/// The GPUs that a name stands for: one, if it is right. A whole UUID wins over those that begin
/// as it does.
std::vector<const GpuReading*> meant(const std::string& name, const std::vector<GpuReading>& gpus) {
  const auto index = index_of(name);
  std::vector<const GpuReading*> found;
  for (const GpuReading& gpu : gpus) {
    if (index ? gpu.index == *index : begins(gpu.uuid, name)) found.push_back(&gpu);
    if (!index && gpu.uuid.size() == name.size() && begins(gpu.uuid, name)) return {&gpu};
  }
  return found;
}

}  // namespace

GpuSelection gpus_of_flag(std::string_view text) {
  if (text == "all") return {};
  GpuSelection selection{.origin = std::string(kGpuFlag), .names = entries(text)};
  for (const std::string& name : selection.names) {
    if (is_mig(name)) {
      throw UsageError(fmt::format(
          "--gpu {}: is a MIG device, of which the driver measures no power; name the GPU that it "
          "is a part of, by index or UUID (nvidia-smi -L lists both)",
          printable(name, true)));
    }
    if (index_of(name) || is_uuid(name)) continue;
    throw UsageError(
        fmt::format("--gpu {}: \"{}\" is no GPU; give all, or indices and UUIDs with commas "
                    "between them, as in "
                    "--gpu 1,2 or --gpu GPU-8932f937",
                    printable(text, true), printable(name, true)));
  }
  return selection;
}

GpuSelection gpus_of_cuda(std::string_view text) {
  GpuSelection selection{.origin = kCuda};
  for (const std::string& name : entries(text)) {
    if (is_mig(name)) {
      return {.note =
                  fmt::format("{}={} names a MIG device, of which the driver measures no power: "
                              "all GPUs are taken, and --gpu picks some",
                              kCuda, text)};
    }
    if (!index_of(name) && !is_uuid(name)) break;
    selection.names.push_back(name);
  }
  return selection;
}

SelectedGpus select(const GpuSelection& selection, const std::vector<GpuReading>& gpus) {
  if (selection.all()) return {.gpus = gpus};
  SelectedGpus selected;
  std::set<unsigned> indices;
  for (const std::string& name : selection.names) {
    const auto found = meant(name, gpus);
    if (found.size() == 1) {
      indices.insert(found.front()->index);
      continue;
    }
    selected.amiss =
        found.empty()
            ? fmt::format("{} {}: there is no such GPU; choose from {}", selection.origin, name,
                          listed(gpus, index_of(name).has_value()))
            : fmt::format("{} {}: stands for several GPUs; write more of the UUID. There are {}",
                          selection.origin, name, listed(gpus, false));
    selected.certain = index_of(name) || !found.empty() ||
                       std::ranges::none_of(gpus, [](const auto& gpu) { return gpu.uuid.empty(); });
    if (selection.origin == kCuda) {
      selected.amiss += "; CUDA passes over it and what follows it";
    }
    break;
  }
  std::ranges::copy_if(gpus, std::back_inserter(selected.gpus),
                       [&](const GpuReading& gpu) { return indices.contains(gpu.index); });
  return selected;
}

}  // namespace thermoe
