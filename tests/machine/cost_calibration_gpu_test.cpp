// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cost/cost_writer.h"
#include "kernels/device_description.h"
#include "machine/calibration/cost_calibration.h"
#include "machine/gpu/load_proxy.h"
#include "telemetry/nvml_source.h"
#include "telemetry/one_gpu_source.h"

namespace thermoe {
namespace {

/// Whose costs are all wrong.
KernelCostModel base() {
  return {{.path = "base", .thermal = FirstOrderThermal{}},
          {CostTable({.op = "moe_experts", .shape = {4, 2, 64, 32}, .dtype = "bf16"},
                     CostSource::kSimulated, "",
                     {{.active_experts = 2.0, .latency = Seconds(1.0), .energy = Joules(1.0)}})}};
}

TEST(CostCalibrationOnAGpu, GivesAModelThatAControllerCanUse) {
  const LoadProxyOptions options{.shape = {.name = "eight layers",
                                           .experts = 128,
                                           .top_k = 8,
                                           .d_model = 2048,
                                           .d_ff = 768,
                                           .layers = 8},
                                 .tokens = 16,
                                 .model_layers = 4,
                                 .router = {.experts = 128, .k = 8}};
  const DeviceDescription device = describe_device();
  LoadProxy load(options);
  const SteadyClock clock;
  GpuSystemMonitor monitor(
      std::make_unique<OneGpuSource>(
          std::make_unique<NvmlSource>(NvmlOptions{.energy_period = Seconds(0)}), device.uuid),
      clock, {.period = Seconds(0.02)});
  monitor.start();
  const std::atomic<bool> stop{false};
  const KernelCostModel invented = base();
  const auto found = calibrate_costs(
      {.shape = options.shape,
       .dtypes = {"bf16"},
       .router = options.router,
       .layers = options.model_layers,
       .tokens = options.tokens,
       .step_period = Seconds(0.005),
       .base = invented,
       .device = device.name,
       .driver = "unasked",
       .timing = {.budget = Seconds(40.0)}},
      {.load = load, .monitor = monitor, .clock = clock, .stop = stop}, [](Seconds, Seconds) {});
  ASSERT_TRUE(found);
  const std::string text = to_text(*found);
  ::testing::Test::RecordProperty("found", text);
  const auto& rows = found->costs.tables().at(0).rows();
  ASSERT_EQ(rows.size(), 6U) << text;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    EXPECT_GT(rows[i].latency, rows[i - 1].latency) << text;
    EXPECT_GT(*rows[i].energy, *rows[i - 1].energy) << text;
  }
  EXPECT_LE(found->taken, Seconds(40.0)) << text;
  EXPECT_GE(found->costs.active_idle().value, 0.5 * found->costs.header().cold_idle.value) << text;
  const KernelCostModel back = KernelCostModel::from_json(to_json(found->costs), "calibrated.json");
  EXPECT_NO_THROW(back.step_cost(options.shape, {"bf16"}, options.tokens, 2.0));
}

}  // namespace
}  // namespace thermoe
