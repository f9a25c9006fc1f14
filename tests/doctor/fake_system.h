// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "doctor/host_system.h"

namespace thermoe::doctor {

/// A machine made of files in a folder of the running test's own, removed with it. Bare at first:
/// nothing is found anywhere.
class FakeSystem {
 public:
  FakeSystem();
  ~FakeSystem();
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  /// Writes a file with its folders: file("/proc/meminfo", "MemTotal: ...").
  void file(const std::string& path, const std::string& text);
  /// Writes a shell script that may be executed.
  void program(const std::string& path, const std::string& script);
  /// Closes a file, to root as well (WithoutRootsRights).
  void close(const std::string& path);
  std::string path(const std::string& below) const { return machine.root + below; }

  /// What a small x86-64 machine without GPU has, files for runs included.
  void add_usual_files();
  /// The traces of a loaded NVIDIA driver: kernel half, device nodes, profiling for administrators.
  void add_nvidia_driver(const std::string& version = "580.65.06");
  /// A domain of the host's energy counters, readable.
  void add_rapl(const std::string& id, const std::string& name);
  /// CapEff as in /proc/self/status.
  void add_capabilities(const std::string& hex);

  HostSystem machine{};
};

}  // namespace thermoe::doctor
