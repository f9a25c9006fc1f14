// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "telemetry/nvml_api.h"

namespace thermoe {

/// Why NVML, or a GPU of it, cannot be used, and what to do about it.
struct NvmlFault {
  std::string cause{};
  std::string remedy{};

  /// Both, without a full stop: "cause. Remedy: remedy"
  std::string sentence() const { return cause + ". Remedy: " + remedy; }
};

/// NVML works and lists nothing.
NvmlFault no_gpu_fault();

/// NVML loaded and initialised; shut down at the end. A process may hold several: NVML counts.
///
/// The library is never unloaded (RTLD_NODELETE): it may have started threads, registered exit
/// handlers and thread-local destructors, and a poll that the monitor left behind may still be
/// inside it. The price is that a driver updated under a running process needs that process to be
/// started again, which the remedy of that error says.
class NvmlSession {
 public:
  /// Loads and initialises; `fault()` says why it could not. `library` as for dlopen; `setting` is
  /// what people name it with, for the remedy.
  explicit NvmlSession(const std::string& library, const std::string& setting = "--nvml-library");
  ~NvmlSession();
  NvmlSession(const NvmlSession&) = delete;
  NvmlSession& operator=(const NvmlSession&) = delete;

  /// Empty if NVML is ready. Otherwise no function may be called.
  const std::optional<NvmlFault>& fault() const { return fault_; }
  const nvml::Functions& functions() const { return functions_; }
  /// Functions that this library lacks.
  const std::vector<std::string>& missing() const { return missing_; }
  /// The file that was loaded; empty if none was.
  const std::string& library_path() const { return library_path_; }

  /// "580.159.04"; empty where NVML does not say.
  std::string driver_version() const;
  /// NVML's own words for `result`.
  std::string words(nvml::Result result) const;
  /// The same with what to do about it.
  NvmlFault explain(const std::string& what, nvml::Result result) const;

 private:
  bool load(const std::string& library, const std::string& setting);
  void initialise();

  nvml::Functions functions_{};
  std::vector<std::string> missing_{};
  std::string library_path_{};
  std::optional<NvmlFault> fault_{};
  bool initialised_ = false;
};

}  // namespace thermoe
