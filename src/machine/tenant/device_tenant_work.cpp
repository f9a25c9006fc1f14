// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/device_tenant_work.h"

#include <fmt/format.h>

#include "core/errors.h"
#include "kernels/device_description.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/random_device_data.h"

namespace thermoe {
namespace {

constexpr std::size_t kOutputs = 14336;
constexpr std::size_t kInputs = 4096;
constexpr std::size_t kTokens = 128;
constexpr std::size_t kGroup = 128;
// So many that what is copied has left the L2 cache (50 MB on H100) when its turn comes again.
constexpr std::size_t kBlocks = 8;
constexpr std::size_t kBlock = 64UL << 20U;
constexpr std::size_t kNeeded = kBlocks * kBlock + (64UL << 20U);
constexpr double kGigabyte = 1e9;
constexpr unsigned kSeed = 11;

/// Before anything is allocated, as CUDA's own words for it name no remedy.
void expect_room() {
  const DeviceDescription device = describe_device();
  if (device.free_memory >= kNeeded) return;
  throw UsageError(fmt::format(
      "{} has {:.2f} GB of memory free, and the load needs {:.2f}; end what holds memory there "
      "(nvidia-smi lists it)",
      device.name, static_cast<double>(device.free_memory) / kGigabyte,
      static_cast<double>(kNeeded) / kGigabyte));
}

DeviceMemory blocks() {
  expect_room();
  return random_words(kBlocks * kBlock / sizeof(std::uint32_t), kSeed);
}

}  // namespace

DeviceTenantWork::DeviceTenantWork() : blocks_(blocks()) {
  words_ = random_words(kOutputs * kInputs / Int4View::kPerWord, kSeed + 1);
  scales_ = normal_f32(kOutputs * kInputs / kGroup, kSeed + 2, 0.01F);
  x_ = normal_bf16(kTokens * kInputs, kSeed + 3);
  out_ = DeviceMemory(kTokens * kOutputs * sizeof(std::uint16_t));
  synchronise(Stream{nullptr});  // random data is made there
}

void DeviceTenantWork::multiply() {
  fused_dequant_linear(Backend::kCuda,
                       {.x = x_.data(),
                        .x_type = FloatType::kBf16,
                        .tokens = kTokens,
                        .weights = {.words = words_.as<const std::uint32_t>(),
                                    .scales = scales_.as<const float>(),
                                    .outputs = kOutputs,
                                    .inputs = kInputs,
                                    .group = kGroup},
                        .out = out_.data(),
                        .out_type = FloatType::kBf16},
                       stream_);
}

void DeviceTenantWork::copy() {
  const std::size_t to = (next_block_ + kBlocks / 2) % kBlocks;
  copy_on_device(blocks_.data() + to * kBlock, blocks_.data() + next_block_ * kBlock, kBlock,
                 stream_);
  next_block_ = (next_block_ + 1) % kBlocks;
}

Seconds DeviceTenantWork::run(Kind kind, int units) {
  THERMOE_EXPECT(units >= 1, "units={} must be >= 1", units);
  begin_.record(stream_);
  for (int i = 0; i < units; ++i) {
    if (kind == Kind::kProducts) {
      multiply();
    } else {
      copy();
    }
  }
  end_.record(stream_);
  end_.wait();
  return end_.since(begin_);
}

}  // namespace thermoe
