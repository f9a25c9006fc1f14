// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_expert_bank.h"

#include <span>

namespace thermoe {

DeviceExpertBank::DeviceExpertBank(const ExpertBankView& host) : view_(host) {
  const auto experts = static_cast<std::size_t>(host.shape.experts);
  copy(view_.f32);
  copy(view_.bf16);
  copy(view_.int4);
  view_.up_bias = copy(host.up_bias, experts * static_cast<std::size_t>(host.shape.padded_ff()));
  view_.down_bias =
      copy(host.down_bias, experts * static_cast<std::size_t>(host.shape.padded_model()));
}

template <class T>
const T* DeviceExpertBank::copy(const T* host, std::size_t count) {
  if (!host) return nullptr;
  return memory_.emplace_back(on_device(std::span(host, count))).template as<const T>();
}

template <class Element>
void DeviceExpertBank::copy(ExpertWeights<PanelMatrices<Element>>& weights) {
  // An expert's matrices follow each other: one array holds all.
  const Element* const host = weights.gate.first ? weights.gate.first : weights.up.first;
  const Element* const device =
      copy(host, static_cast<std::size_t>(weights.up.stride * view_.shape.experts));
  for (auto* matrix : {&weights.gate, &weights.up, &weights.down}) {
    if (matrix->first) matrix->first = device + (matrix->first - host);
  }
}

void DeviceExpertBank::copy(ExpertWeights<Int4Matrices>& weights) {
  const Int4Matrices host = weights.gate.first.words ? weights.gate : weights.up;
  const auto all = [this](std::ptrdiff_t stride) {
    return static_cast<std::size_t>(stride * view_.shape.experts);
  };
  const auto* words = copy(host.first.words, all(host.word_stride));
  const auto* scales = copy(host.first.scales, all(host.cell_stride));
  const auto* zero_points = copy(host.first.zero_points, all(host.cell_stride));
  for (auto* matrix : {&weights.gate, &weights.up, &weights.down}) {
    Int4View& first = matrix->first;
    if (!first.words) continue;
    if (zero_points) first.zero_points = zero_points + (first.zero_points - host.first.zero_points);
    first.words = words + (first.words - host.first.words);
    first.scales = scales + (first.scales - host.first.scales);
  }
}

}  // namespace thermoe
