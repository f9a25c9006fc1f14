// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_int4_weights.h"

namespace thermoe {

DeviceInt4Weights::DeviceInt4Weights(const Int4View& host) : view_(host) {
  const std::size_t rows = static_cast<std::size_t>(host.panels()) * Int4View::kPanel;
  const std::size_t cells = rows * static_cast<std::size_t>(host.groups());
  words_ = on_device(std::span(host.words, rows * (host.inputs / Int4View::kPerWord)));
  scales_ = on_device(std::span(host.scales, cells));
  if (host.zero_points) zero_points_ = on_device(std::span(host.zero_points, cells));
  view_.words = words_.as<const std::uint32_t>();
  view_.scales = scales_.as<const float>();
  view_.zero_points = zero_points_.as<const std::uint8_t>();
}

}  // namespace thermoe
