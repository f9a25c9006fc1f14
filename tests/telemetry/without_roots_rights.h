// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace thermoe {

/// While it lives, this thread has no rights beyond those of its user: to root, too, a file is
/// unreadable whose mode says so. Not by another user: a container may know none, and temporary
/// files may be root's alone.
class WithoutRootsRights {
 public:
  WithoutRootsRights() {
    if (::syscall(SYS_capget, &header_, before_.data()) != 0) fail();
    Sets none = before_;
    for (auto& word : none) word.effective = 0;
    set(none);
  }
  ~WithoutRootsRights() { ::syscall(SYS_capset, &header_, before_.data()); }
  WithoutRootsRights(const WithoutRootsRights&) = delete;
  WithoutRootsRights& operator=(const WithoutRootsRights&) = delete;

 private:
  using Sets = std::array<__user_cap_data_struct, 2>;

  [[noreturn]] static void fail() { throw std::runtime_error("capabilities cannot be changed"); }
  void set(const Sets& sets) {
    if (::syscall(SYS_capset, &header_, sets.data()) != 0) fail();
  }

  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  Sets before_{};
};

}  // namespace thermoe
