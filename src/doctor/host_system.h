// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/cpu_isa.h"
#include "core/program_search.h"

namespace thermoe::doctor {

/// What the program knows of the LibTorch that it runs with. Comes from the file that is linked
/// with it; everything else here is torch-free.
struct TorchFacts {
  std::string built_version{};        ///< of the headers
  std::string loaded_version{};       ///< of the library
  std::string library{};              ///< path of the loaded libtorch_cpu.so
  std::optional<std::string> cuda{};  ///< CUDA version that it was built for; absent: CPU only
};

/// Where the probes look. Tests point it at a tree of their own.
struct HostSystem : ProgramPlaces {
  std::string folder = ".";  ///< where model, experiments and data should be
  /// Names that the dynamic loader is asked for.
  std::vector<std::string> cupti_names{};
  /// Before the path of a dynamic library: a command that lists, as ldd does, what it needs and
  /// where that is found. Empty: not asked.
  std::vector<std::string> library_lister{};
  std::string nvml_library = "libnvidia-ml.so.1";  ///< a name for the loader, or a path
  cpu::Isa best_isa = cpu::Isa::kBaseline;         ///< what the kernels will use
  int cpus = 0;                                    ///< that this process may run on
  /// With NVML: a driver without persistence wakes its GPUs one after the other.
  std::chrono::milliseconds nvml_patience{20000};
  std::optional<TorchFacts> torch{};
};

/// The machine that this process runs on, from its environment. Knows nothing of LibTorch.
HostSystem this_system();

}  // namespace thermoe::doctor
