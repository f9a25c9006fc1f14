// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/device_memory.h"
#include "kernels/expert_bank_view.h"

namespace thermoe {

/// A bank's weights on the current CUDA device: the same bytes at fixed addresses.
class DeviceExpertBank {
 public:
  DeviceExpertBank() = default;
  /// Copies on the default stream what the view of host memory shows. Throws as DeviceMemory does.
  explicit DeviceExpertBank(const ExpertBankView& host);
  /// Keeps the device memory that the view shows.
  DeviceExpertBank(std::vector<DeviceMemory> memory, const ExpertBankView& device)
      : memory_(std::move(memory)), view_(device) {}

  /// Of device memory; valid while this object lives, also after it was moved from here.
  const ExpertBankView& view() const { return view_; }

 private:
  template <class T>
  const T* copy(const T* host, std::size_t count);
  template <class Element>
  void copy(ExpertWeights<PanelMatrices<Element>>& weights);
  void copy(ExpertWeights<Int4Matrices>& weights);

  std::vector<DeviceMemory> memory_;
  ExpertBankView view_{};
};

}  // namespace thermoe
