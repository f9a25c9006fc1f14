// SPDX-License-Identifier: Apache-2.0
#include "doctor/cupti_probe.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "core/program_search.h"
#include "core/readable.h"

namespace thermoe::doctor {
namespace {

struct CloseLibrary {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

/// Loads a library; `reason` says why not.
Library open_library(const std::string& name, std::string& reason) {
  // CUPTI is not made to be unloaded: what it allocates as it loads would leak.
  Library library(::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE));
  if (!library) {
    const char* error = ::dlerror();
    reason = error != nullptr ? error : "cannot be loaded";
  }
  return library;
}

std::string path_of(const Library& library) {
  link_map* map = nullptr;
  if (::dlinfo(library.get(), RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return "";
  return map->l_name;
}

/// Its API version, "26"-like before CUDA 12.6 and "130000"-like since.
std::optional<std::uint32_t> api_version(const Library& library) {
  using GetVersion = int (*)(std::uint32_t*);
  const auto get = reinterpret_cast<GetVersion>(::dlsym(library.get(), "cuptiGetVersion"));
  std::uint32_t version = 0;
  if (get == nullptr || get(&version) != 0) return std::nullopt;
  return version;
}

/// Every libcupti.so* beside toolkits and beside LibTorch.
std::vector<std::string> candidates(const HostSystem& machine) {
  std::vector<std::string> folders;
  const auto add = [&](const std::vector<std::string>& more) {
    folders.insert(folders.end(), more.begin(), more.end());
  };
  for (const char* below : {"/extras/CUPTI/lib64", "/lib64", "/lib"}) {
    add(cuda_folders(machine, below));
  }
  if (machine.torch && !machine.torch->library.empty()) {
    // The wheels of CUDA libraries lie beside the torch package.
    const std::filesystem::path torch = std::filesystem::path(machine.torch->library).parent_path();
    const std::string packages = torch.parent_path().parent_path().string();
    for (const char* below : {"/nvidia/cu13/lib", "/nvidia/cuda_cupti/lib"}) {
      folders.push_back(packages + below);
    }
    folders.push_back(torch.string());
  }
  std::vector<std::string> files;
  for (const std::string& folder : folders) {
    for (const std::string& name : names_in(folder)) {
      if (name.rfind("libcupti.so", 0) == 0) files.push_back(fmt::format("{}/{}", folder, name));
    }
  }
  return files;
}

}  // namespace

Finding probe_cupti(const HostSystem& machine) {
  Finding finding{.id = "cupti",
                  .title = "CUPTI",
                  .enables = "timing each kernel from inside the process, without nsys"};
  std::vector<std::string> names = machine.cupti_names;
  const std::vector<std::string> files = candidates(machine);
  names.insert(names.end(), files.begin(), files.end());
  std::string reason;
  for (const std::string& name : names) {
    const Library library = open_library(name, reason);
    if (!library) continue;
    const auto version = api_version(library);
    finding.status = version ? Status::kFound : Status::kBroken;
    finding.value = path_of(library);
    if (version) {
      finding.value += fmt::format(" (API {})", *version);
    } else {
      finding.detail = "does not say its version (cuptiGetVersion)";
      finding.remedy = "reinstall the CUDA toolkit, or the wheel nvidia-cuda-cupti";
    }
    return finding;
  }
  finding.status = files.empty() ? Status::kMissing : Status::kBroken;
  finding.value = files.empty() ? "" : files.front();
  finding.detail = files.empty()
                       ? "no libcupti.so in the loader's search, beside a CUDA toolkit or "
                         "beside LibTorch"
                       : reason;
  finding.remedy =
      "install the CUDA toolkit with its CUPTI, or the wheel beside LibTorch:\n"
      "$ pip install nvidia-cuda-cupti";
  return finding;
}

}  // namespace thermoe::doctor
