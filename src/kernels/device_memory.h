// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "core/errors.h"
#include "kernels/backend.h"

namespace thermoe {

/// A CUDA call failed. What it says: the call, CUDA's name for the error and its text.
class CudaError final : public Error {
  using Error::Error;
};

/// Why this program cannot use a CUDA device here: built without, no driver, no device, or one that
/// is too old. Nothing where it can.
std::optional<std::string> device_problem();

/// Bytes on the current CUDA device, at an address that does not change: a captured graph may hold
/// it. Throws CudaError where there is no room; UsageError where `device_problem` has a reason.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Uninitialised, aligned to 256 bytes. 0 bytes: no memory, data() is null.
  explicit DeviceMemory(std::size_t bytes);
  // NOLINTNEXTLINE(performance-trivially-destructible): in programs with CUDA it frees.
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Copies on the stream. From pageable host memory the bytes are read before the call returns; to
/// it, the call waits until they are there.
void copy_to_device(void* device, std::span<const std::byte> host, Stream stream);
void copy_to_host(std::span<std::byte> host, const void* device, Stream stream);

/// From one place on the device to another.
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream);

/// A device copy of `values`, made on the default stream.
template <class T>
DeviceMemory on_device(std::span<const T> values) {
  DeviceMemory memory(values.size_bytes());
  copy_to_device(memory.data(), std::as_bytes(values), Stream{nullptr});
  return memory;
}

/// Waits for all that the stream was given. Throws what a kernel did wrong.
void synchronise(Stream stream);

}  // namespace thermoe
