// SPDX-License-Identifier: Apache-2.0
#include "doctor/torch_probe.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "core/program_output.h"
#include "core/readable.h"
#include "doctor/cuda_version.h"

namespace thermoe::doctor {
namespace {

Finding library(const HostSystem& machine) {
  Finding finding{.id = "torch",
                  .title = "LibTorch",
                  .enables = "the adapter of KERNEL_AWARE_TTHA, evaluation and training",
                  .needed = true};
  if (!machine.torch) {
    finding.status = Status::kMissing;
    finding.detail = "this program was built without it (THERMOE_TORCH=OFF)";
    finding.remedy = "build with it:\n$ make setup && make";
    return finding;
  }
  const TorchFacts& torch = *machine.torch;
  finding.status = Status::kFound;
  finding.value = fmt::format("{} ({})", torch.loaded_version, torch.library);
  if (version_numbers(torch.loaded_version) != version_numbers(torch.built_version)) {
    finding.status = Status::kBroken;
    finding.detail = fmt::format(
        "built with the headers of {}, and LibTorch's binary interface changes with every version",
        torch.built_version);
    finding.remedy =
        "take another LibTorch out of LD_LIBRARY_PATH, or build anew with this one:\n"
        "$ THERMOE_TORCH_DIR=.../site-packages/torch make";
  }
  return finding;
}

/// Libraries that `library` needs and the loader does not find.
std::vector<std::string> unresolved(const std::string& listing) {
  std::vector<std::string> names;
  for (std::size_t line = 0; line < listing.size();) {
    const std::size_t end = std::min(listing.find('\n', line), listing.size());
    const std::string text = trimmed(listing.substr(line, end - line));
    const std::size_t arrow = text.find(" => not found");
    if (arrow != std::string::npos) names.push_back(text.substr(0, arrow));
    line = end + 1;
  }
  return names;
}

/// Fills in whether all that libtorch_cuda needs is there. Nothing of it is loaded or run.
void list_needs(const HostSystem& machine, const std::string& cuda_half, Finding& finding) {
  std::vector<std::string> command = machine.library_lister;
  command.push_back(cuda_half);
  const ProgramOutput listing =
      run_program(command, {.environment = machine.environment, .patience = machine.patience});
  if (!listing.succeeded()) {
    finding.status = Status::kUnknown;
    finding.detail =
        "the dynamic loader, asked what it needs, " + listing.failure(machine.patience);
    return;
  }
  const std::vector<std::string> names = unresolved(listing.out);
  if (names.empty()) {
    finding.status = Status::kFound;
    return;
  }
  finding.status = Status::kMissing;
  finding.detail = fmt::format("libraries it needs are not here: {}", fmt::join(names, ", "));
  finding.remedy = fmt::format(
      "take a torch package with all of its CUDA libraries and name it when building:\n"
      "$ pip install torch=={}\n"
      "$ THERMOE_TORCH_DIR=.../site-packages/torch make",
      machine.torch->built_version);
}

Finding cuda(const HostSystem& machine, std::optional<int> driver_cuda) {
  Finding finding{.id = "torch.cuda",
                  .title = "LibTorch's CUDA half",
                  .enables = "training on a GPU (thermoe train --device cuda)"};
  if (!machine.torch) {
    finding.detail = "no LibTorch to ask";
    return finding;
  }
  const auto cuda_half =
      std::filesystem::path(machine.torch->library).parent_path() / "libtorch_cuda.so";
  if (!machine.torch->cuda || ::access(cuda_half.c_str(), R_OK) != 0) {
    finding.status = Status::kMissing;
    finding.detail = "this LibTorch was built for CPUs only";
    finding.remedy =
        "name a torch package with CUDA when building:\n"
        "$ THERMOE_TORCH_DIR=.../site-packages/torch make";
    return finding;
  }
  finding.value = "built for CUDA " + *machine.torch->cuda;
  if (!machine.library_lister.empty()) list_needs(machine, cuda_half.string(), finding);
  const int needed = cuda_version_number(*machine.torch->cuda);
  if (finding.found() && driver_cuda && *driver_cuda / 1000 < needed / 1000) {
    finding.status = Status::kBroken;
    finding.detail =
        fmt::format("the driver knows CUDA only up to {}", cuda_version_text(*driver_cuda));
    finding.remedy = "update the driver, or take a LibTorch that was built for an older CUDA";
  }
  return finding;
}

}  // namespace

Section probe_torch(const HostSystem& machine, std::optional<int> driver_cuda) {
  return {.title = "LibTorch", .findings = {library(machine), cuda(machine, driver_cuda)}};
}

}  // namespace thermoe::doctor
