// SPDX-License-Identifier: Apache-2.0
#include "doctor/cuda_probe.h"

#include <fmt/format.h>

#include "core/program_search.h"
#include "doctor/cuda_version.h"
#include "doctor/cupti_probe.h"

namespace thermoe::doctor {
namespace {

constexpr int kOldestToolkit = 12080;  // as cmake/ThermoeCuda.cmake asks for
constexpr const char* kInstallToolkit =
    "install CUDA toolkit 12.8 or later (https://developer.nvidia.com/cuda-downloads; "
    "distributions' own are often older), or name its compiler when building:\n"
    "$ CUDACXX=/path/to/nvcc cmake --preset cuda-release";

/// Fills in cuda.toolkit; returns the toolkit's version.
std::optional<int> toolkit(const HostSystem& machine, Finding& finding) {
  const auto nvcc = find_program(machine, {"nvcc"}, cuda_folders(machine, "/bin"));
  if (!nvcc) {
    finding.status = Status::kMissing;
    finding.detail = "no nvcc on PATH, in $CUDA_HOME/bin or /usr/local/cuda*/bin";
    finding.remedy = kInstallToolkit;
    return std::nullopt;
  }
  const auto text =
      take_version(ask_version(machine, *nvcc, {.before = "release"}), *nvcc, finding);
  const int version = text ? cuda_version_number(*text) : 0;
  if (version >= kOldestToolkit) return version;
  finding.status = Status::kBroken;
  if (text) finding.detail = "older than 12.8, which the build needs";
  finding.remedy = kInstallToolkit;
  return version == 0 ? std::nullopt : std::optional<int>(version);
}

/// The oldest driver branch that runs programs of this CUDA.
const char* least_driver(int cuda) {
  if (cuda >= 13000) return "580";
  if (cuda >= 12000) return "525";
  return "450";
}

/// Whether the driver runs what the toolkit builds.
Finding fit(std::optional<int> toolkit, std::optional<int> driver) {
  Finding finding{.id = "cuda.driver",
                  .title = "Driver for this toolkit",
                  .enables = "running what this toolkit builds"};
  if (!driver) {
    finding.detail = "no driver to ask";
    return finding;
  }
  const std::string of_driver = "driver: CUDA up to " + cuda_version_text(*driver);
  if (!toolkit) {
    finding.value = of_driver;
    finding.detail = "no toolkit to compare with";
    return finding;
  }
  finding.value = fmt::format("{}, toolkit: {}", of_driver, cuda_version_text(*toolkit));
  finding.status = Status::kFound;
  if (*driver / 1000 < *toolkit / 1000) {
    finding.status = Status::kBroken;
    finding.detail = "the driver is too old: it refuses programs of this toolkit";
    finding.remedy = fmt::format(
        "install driver {0} or later; where the driver must stay, data-centre GPUs may use the "
        "package cuda-compat-{1}-{2}, or take a toolkit of CUDA {3}",
        least_driver(*toolkit), *toolkit / 1000, *toolkit % 1000 / 10, *driver / 1000);
  } else if (*driver < *toolkit) {
    finding.detail =
        "an older minor version: kernels compiled for this very GPU run, PTX that the driver must "
        "compile does not";
  }
  return finding;
}

}  // namespace

Section probe_cuda(const HostSystem& machine, std::optional<int> driver_cuda) {
  Finding compiler{.id = "cuda.toolkit",
                   .title = "CUDA toolkit",
                   .enables = "building the CUDA backends (preset cuda-release)"};
  const std::optional<int> version = toolkit(machine, compiler);
  return {.title = "CUDA", .findings = {compiler, fit(version, driver_cuda), probe_cupti(machine)}};
}

}  // namespace thermoe::doctor
