// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_expert_bank.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/expert_bank.h"

namespace thermoe {
namespace {

constexpr ExpertLayerShape kShape{.experts = 3, .d_model = 64, .d_ff = 32};

template <class T>
std::vector<T> fetched(const T* device, std::size_t count) {
  std::vector<T> values(count);
  copy_to_host(std::as_writable_bytes(std::span(values)), device, Stream{nullptr});
  return values;
}

/// Element 5 of the matrix of the last expert.
template <class T>
void expect_same(const PanelMatrices<T>& device, const PanelMatrices<T>& host) {
  EXPECT_EQ(fetched(device.of(2) + 5, 1).front(), host.of(2)[5]);
}

TEST(DeviceExpertBank, ShowsTheBytesOfTheHostsBankWhereTheHostsViewDoes) {
  std::vector<float> w(3 * 64 * 32);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 251);
  std::vector<float> bias(w.begin(), w.begin() + 3 * 64);
  const ExpertTensors tensors{.gate = w.data(),
                              .up = w.data(),
                              .down = w.data(),
                              .up_bias = bias.data(),
                              .down_bias = bias.data()};
  ExpertBank bank(kShape);
  bank.load_f32(tensors);
  bank.load_int4(tensors, {.group = 32, .with_zero_point = true});
  const ExpertBankView host = bank.view();
  DeviceExpertBank moved(host);
  const DeviceExpertBank device = std::move(moved);
  const ExpertBankView& view = device.view();
  ASSERT_TRUE(view.has_bf16() && view.has_int4() && !view.has_f32());
  expect_same(view.bf16.gate, host.bf16.gate);
  expect_same(view.bf16.up, host.bf16.up);
  expect_same(view.bf16.down, host.bf16.down);
  for (const auto matrix : {&ExpertWeights<Int4Matrices>::gate, &ExpertWeights<Int4Matrices>::up,
                            &ExpertWeights<Int4Matrices>::down}) {
    const Int4View on_device = (view.int4.*matrix).of(2);
    const Int4View on_host = (host.int4.*matrix).of(2);
    EXPECT_EQ(fetched(on_device.words + 5, 1).front(), on_host.words[5]);
    EXPECT_EQ(fetched(on_device.scales + 5, 1).front(), on_host.scales[5]);
    EXPECT_EQ(fetched(on_device.zero_points + 5, 1).front(), on_host.zero_points[5]);
  }
  EXPECT_EQ(fetched(view.up_bias + 2 * 32 + 5, 1).front(), host.up_bias[2 * 32 + 5]);
  EXPECT_EQ(fetched(view.down_bias + 2 * 64 + 5, 1).front(), host.down_bias[2 * 64 + 5]);
}

}  // namespace
}  // namespace thermoe
