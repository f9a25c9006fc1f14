// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_memory.h"

namespace thermoe {

/// Values in the memory that a backend reads and writes.
template <class T>
class Operand {
 public:
  Operand(Backend backend, std::vector<T> values) : backend_(backend), host_(std::move(values)) {
    if (backend_ != Backend::kCpu) device_ = on_device(std::span<const T>(host_));
  }

  T* data() { return backend_ == Backend::kCpu ? host_.data() : device_.as<T>(); }

  std::size_t size() const { return host_.size(); }

  /// Waits for what the default stream was given.
  const std::vector<T>& values() {
    if (backend_ != Backend::kCpu) {
      synchronise(Stream{nullptr});
      copy_to_host(std::as_writable_bytes(std::span(host_)), device_.data(), Stream{nullptr});
    }
    return host_;
  }

 private:
  Backend backend_;
  std::vector<T> host_;
  DeviceMemory device_{};
};

}  // namespace thermoe
