// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_session.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <array>

namespace thermoe {
namespace {

std::string remedy_for(nvml::Result result) {
  switch (result) {
    case nvml::kDriverNotLoaded:
      return "load the driver's kernel module (sudo modprobe nvidia); if that fails, install the "
             "driver for this kernel and reboot";
    case nvml::kLibraryMismatch:
      return "the driver was updated: reboot, or reload its kernel modules, and start this program "
             "again";
    case nvml::kNoPermission:
      return "let this user read and write /dev/nvidiactl and /dev/nvidia0, 1, ...; in a "
             "container, start it with the GPUs (docker run --gpus all)";
    case nvml::kGpuIsLost:
    case nvml::kResetRequired:
      return "sudo dmesg | grep -i xid says why; reset it (sudo nvidia-smi --gpu-reset) or reboot";
    case nvml::kUninitialized:
      return "the driver was unloaded: load it again (sudo modprobe nvidia)";
    case nvml::kNotSupported:
    case nvml::kFunctionNotFound:
      return "install a newer driver";
    default:
      return "see whether nvidia-smi works, and sudo dmesg | grep -i nvrm";
  }
}

}  // namespace

NvmlFault no_gpu_fault() {
  return {.cause = "NVML works but finds no GPU",
          .remedy =
              "see nvidia-smi -L; in a container, start it with the GPUs (docker run --gpus "
              "all)"};
}

NvmlSession::NvmlSession(const std::string& library, const std::string& setting) {
  if (load(library, setting)) initialise();
}

NvmlSession::~NvmlSession() {
  // Its result tells nothing that could be acted on.
  if (initialised_ && functions_.shutdown != nullptr) functions_.shutdown();
}

bool NvmlSession::load(const std::string& library, const std::string& setting) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* error = dlerror();
    fault_ = {.cause = fmt::format("cannot load NVML, the NVIDIA driver's library: {}",
                                   error != nullptr ? error : library),
              .remedy = fmt::format(
                  "install the NVIDIA driver, which brings libnvidia-ml.so.1; in a container, "
                  "start it with the GPUs (docker run --gpus all); or name the library's path with "
                  "{}",
                  setting)};
    return false;
  }
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr) library_path_ = map->l_name;
  functions_ = nvml::find_functions(handle, missing_);
  dlclose(handle);  // gives the reference back; RTLD_NODELETE keeps the library
  if (functions_.init == nullptr || functions_.device_count == nullptr ||
      functions_.device_by_index == nullptr) {
    fault_ = {
        .cause =
            fmt::format("{} is no usable NVML: it lacks {}", library, fmt::join(missing_, ", ")),
        .remedy = fmt::format("install a newer driver, or name another library with {}", setting)};
    return false;
  }
  return true;
}

void NvmlSession::initialise() {
  const nvml::Result result = functions_.init();
  initialised_ = result == nvml::kSuccess;
  if (!initialised_) fault_ = explain("NVML cannot be initialised", result);
}

std::string NvmlSession::driver_version() const {
  std::array<char, nvml::kStringSize> text{};
  const auto ask = functions_.driver_version;
  if (fault_ || ask == nullptr ||
      ask(text.data(), static_cast<unsigned>(text.size())) != nvml::kSuccess) {
    return {};
  }
  return text.data();
}

std::string NvmlSession::words(nvml::Result result) const {
  const char* text = functions_.error_string != nullptr ? functions_.error_string(result) : nullptr;
  return text != nullptr ? text : fmt::format("NVML error {}", static_cast<int>(result));
}

NvmlFault NvmlSession::explain(const std::string& what, nvml::Result result) const {
  return {.cause = fmt::format("{}: {}", what, words(result)), .remedy = remedy_for(result)};
}

}  // namespace thermoe
