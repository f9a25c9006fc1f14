// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/plant_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPlant = THERMOE_SOURCE_DIR "/data/h100/plant.json";

TEST(PlantConfig, TheShippedPlantIsRead) {
  const SimulatedGpuConfig config = read_plant(kPlant);
  EXPECT_NEAR(config.idle_active.value, 130.0, 5.0);
  EXPECT_EQ(config.power_limit, Watts(700.0));
  EXPECT_EQ(config.thermal_limit, Celsius(87.0));
  EXPECT_GE(config.thermal.poles.size(), 2U);
  EXPECT_GE(config.memory_thermal.poles.size(), 2U);
  EXPECT_EQ(config.average_samples, 10);
  EXPECT_EQ(config.sensor_window, Seconds(0.025));
  EXPECT_GT(config.power_noise, Watts(0.0));
  EXPECT_THAT(config.name, HasSubstr("simulated"));
}

/// The error for the shipped plant with `change` applied.
std::string error_after(const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json json = read_json_file(kPlant);
  change(json);
  const auto path = std::filesystem::temp_directory_path() /
                    (std::string("plant_config_test_") +
                     ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".json");
  std::ofstream(path) << json;
  std::string message;
  try {
    read_plant(path.string());
  } catch (const FormatError& e) {
    message = e.what();
  }
  std::filesystem::remove(path);
  return message;
}

TEST(PlantConfig, AnUnknownSchemaIsRefused) {
  EXPECT_THAT(error_after([](auto& j) { j["schema"] = 2; }), HasSubstr("/schema"));
}

TEST(PlantConfig, AnUnknownFieldIsRefusedByName) {
  EXPECT_THAT(error_after([](auto& j) { j["idle_activ_w"] = 1.0; }), HasSubstr("idle_active_w"));
}

TEST(PlantConfig, ANegativeResistanceIsRefusedByKey) {
  EXPECT_THAT(error_after([](auto& j) { j["thermal"]["poles"][1]["r_k_per_w"] = -0.1; }),
              HasSubstr("/thermal/poles/1/r_k_per_w"));
}

TEST(PlantConfig, AThermalModelWithoutPolesIsRefused) {
  EXPECT_THAT(error_after([](auto& j) { j["thermal"]["memory"]["poles"].clear(); }),
              HasSubstr("/thermal/memory/poles"));
}

TEST(PlantConfig, AWindowLongerThanItsPeriodIsRefused) {
  EXPECT_THAT(error_after([](auto& j) { j["sensor"]["window_s"] = 0.5; }),
              HasSubstr("/sensor/window_s"));
}

TEST(PlantConfig, APowerLimitBelowIdleIsRefused) {
  EXPECT_THAT(error_after([](auto& j) { j["power_limit_w"] = 100.0; }),
              HasSubstr("/power_limit_w"));
}

}  // namespace
}  // namespace thermoe
