// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace thermoe {

/// Host memory that a device copies to and from by itself: such a copy does not wait for the
/// stream, and may be captured. It must stay as it is until the copy has run.
class PinnedMemory {
 public:
  /// Uninitialised, aligned to 256 bytes. Throws CudaError where there is no room; UsageError where
  /// no device can be used.
  explicit PinnedMemory(std::size_t bytes);

  std::byte* data() const { return data_.get(); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  std::size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_;
};

}  // namespace thermoe
