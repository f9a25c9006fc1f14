// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace thermoe {

/// The fake NVML of fake_nvml.h with a script of the test's own, while it lives. One at a time: the
/// environment of the process names the script.
class ScriptedNvml {
 public:
  explicit ScriptedNvml(const std::string& script = "",
                        const std::string& library = THERMOE_FAKE_NVML_LIBRARY)
      : library_(library), handle_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    std::string pattern = (std::filesystem::temp_directory_path() / "fake_nvml_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    write(script);
    setenv("THERMOE_FAKE_NVML", path().c_str(), 1);
    reinterpret_cast<void (*)()>(symbol("thermoe_fake_nvml_reset"))();
  }
  ~ScriptedNvml() {
    unsetenv("THERMOE_FAKE_NVML");
    std::filesystem::remove_all(folder_);
    dlclose(handle_);
  }
  ScriptedNvml(const ScriptedNvml&) = delete;
  ScriptedNvml& operator=(const ScriptedNvml&) = delete;

  const std::string& library() const { return library_; }
  std::string path() const { return folder_ / "script"; }

  /// The next scene: replaces the script at once.
  void write(const std::string& script) {
    const std::filesystem::path fresh = folder_ / "next";
    std::ofstream(fresh) << script;
    std::filesystem::rename(fresh, path());
  }

  /// How often the program called NVML's function `name`.
  unsigned long calls(const char* name) const {
    using Calls = unsigned long (*)(const char*);
    return reinterpret_cast<Calls>(symbol("thermoe_fake_nvml_calls"))(name);
  }

 private:
  void* symbol(const char* name) const {
    void* found = dlsym(handle_, name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }

  std::string library_;
  void* handle_;
  std::filesystem::path folder_;
};

}  // namespace thermoe
