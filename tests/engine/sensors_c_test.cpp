// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/thermoe.h"
#include "fake_nvml/scripted_nvml.h"

namespace thermoe {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct Close {
  void operator()(thermoe_sensors* sensors) const { thermoe_sensors_close(sensors); }
  void operator()(thermoe_costs* costs) const { thermoe_costs_close(costs); }
};
using Sensors = std::unique_ptr<thermoe_sensors, Close>;
using Costs = std::unique_ptr<thermoe_costs, Close>;

Sensors open(const json& config) {
  thermoe_sensors* sensors = nullptr;
  EXPECT_EQ(thermoe_sensors_open(config.dump().c_str(), &sensors), THERMOE_OK)
      << thermoe_last_error();
  return Sensors(sensors);
}

std::string refusal(const std::string& config) {
  thermoe_sensors* sensors = nullptr;
  EXPECT_EQ(thermoe_sensors_open(config.c_str(), &sensors), THERMOE_BAD_INPUT);
  EXPECT_EQ(sensors, nullptr);
  return thermoe_last_error();
}

json read(const Sensors& sensors) {
  const char* text = nullptr;
  EXPECT_EQ(thermoe_sensors_read(sensors.get(), &text), THERMOE_OK) << thermoe_last_error();
  return json::parse(text);
}

json window(const Sensors& sensors, const char* unit, const double* units) {
  EXPECT_EQ(thermoe_window_begin(sensors.get()), THERMOE_OK) << thermoe_last_error();
  const char* text = nullptr;
  EXPECT_EQ(thermoe_window_end(sensors.get(), unit, units, &text), THERMOE_OK)
      << thermoe_last_error();
  return json::parse(text);
}

TEST(SensorsInC, TellWhatAGpuShowsAndNullForWhatItDoesNot) {
  ScriptedNvml nvml("gpus = 1\ngpu0.temperature = 61\ngpu0.energy = not_supported\n");
  const json now = read(open({{"source", "nvml"}, {"nvml_library", nvml.library()}}));
  ASSERT_EQ(now["gpus"].size(), 1);
  EXPECT_EQ(now["gpus"][0]["temp_gpu_c"], 61.0);
  EXPECT_TRUE(now["gpus"][0]["energy_j"].is_null());
  EXPECT_EQ(now["source"], "NVML");
  EXPECT_FALSE(now["simulated"]);
}

TEST(SensorsInC, TellOnlyTheGpusThatWereChosen) {
  ScriptedNvml nvml("gpus = 3\n");
  const json config{{"source", "nvml"}, {"nvml_library", nvml.library()}};
  json one = config, cuda = config;
  one["gpus"] = "2";
  one["cuda_visible_devices"] = "0";
  cuda["cuda_visible_devices"] = "1";
  const json chosen = read(open(one))["gpus"];
  ASSERT_EQ(chosen.size(), 1);
  EXPECT_EQ(chosen[0]["gpu"], 2);
  const json visible = read(open(cuda))["gpus"];
  ASSERT_EQ(visible.size(), 1);
  EXPECT_EQ(visible[0]["gpu"], 1);
  one["gpus"] = "7";
  EXPECT_THAT(refusal(one.dump()), HasSubstr("7"));
}

TEST(SensorsInC, GiveTheJoulesOfAWindow) {
  ScriptedNvml nvml("gpus = 1\ngpu0.energy = 1000+50\n");  // mJ, 50 more a call
  const Sensors sensors = open({{"source", "nvml"}, {"nvml_library", nvml.library()}});
  const double units = 4.0;
  const json told = window(sensors, "token", &units);
  const double joules = told["steady_state_energy"];
  EXPECT_GT(joules, 0.0);
  EXPECT_NEAR(told["energy_per_token_joules"], joules / units, 1e-12);
  EXPECT_EQ(told["runs"][0]["gpus"][0]["energy_basis"], "counter");
  EXPECT_FALSE(window(sensors, "token", nullptr).contains("energy_per_token_joules"));
}

TEST(SensorsInC, SayWhyThereAreNoJoules) {
  const Sensors sensors = open({{"source", "nvml"}, {"nvml_library", "/nowhere/libnvidia-ml.so"}});
  const json told = window(sensors, nullptr, nullptr);
  EXPECT_TRUE(told["steady_state_energy"].is_null());
  ASSERT_FALSE(told["problems"].empty());
  EXPECT_THAT(std::string(told["problems"][0]),
              AllOf(HasSubstr("/nowhere/libnvidia-ml.so"), HasSubstr("with nvml_library")));
}

TEST(SensorsInC, EndNoWindowThatDidNotBegin) {
  const Sensors sensors = open({{"source", "host"}});
  const char* text = nullptr;
  EXPECT_EQ(thermoe_window_end(sensors.get(), nullptr, nullptr, &text), THERMOE_BAD_INPUT);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("no window is under way"));
  ASSERT_EQ(thermoe_window_begin(sensors.get()), THERMOE_OK);
  const double units = std::nan("");
  EXPECT_EQ(thermoe_window_end(sensors.get(), "token", &units, &text), THERMOE_BAD_INPUT);
  EXPECT_EQ(text, nullptr);
}

TEST(SensorsInC, RefuseAnotherConfigurationByItsKey) {
  EXPECT_THAT(refusal("{\"sorce\": \"nvml\"}"), HasSubstr("source"));
  EXPECT_THAT(refusal("{\"source\": \"nvm\"}"), HasSubstr("nvml"));
  EXPECT_THAT(refusal("{\"source\": \"simulated\"}"), HasSubstr("/plant"));
  EXPECT_THAT(refusal("no JSON"), HasSubstr("sensors"));
  EXPECT_EQ(thermoe_sensors_read(nullptr, nullptr), THERMOE_BAD_INPUT);
  thermoe_sensors_close(nullptr);
}

class CostsInC : public ::testing::Test {
 protected:
  CostsInC() {
    thermoe_costs* costs = nullptr;
    EXPECT_EQ(thermoe_costs_open(THERMOE_SOURCE_DIR "/data/h100/kernel_cost_model.json", &costs),
              THERMOE_OK)
        << thermoe_last_error();
    costs_.reset(costs);
  }

  thermoe_status layer(double tokens, double active, thermoe_cost& cost) const {
    const int32_t shape[4] = {128, 8, 2048, 768};
    return thermoe_costs_layer(costs_.get(), shape, 1, "bf16", tokens, active, &cost);
  }

  Costs costs_{};
};

TEST_F(CostsInC, TellWhatTheModelHas) {
  const char* text = nullptr;
  ASSERT_EQ(thermoe_costs_describe(costs_.get(), &text), THERMOE_OK);
  const json told = json::parse(text);
  EXPECT_EQ(told["models"][0]["name"], "Qwen3-30B-A3B");
  EXPECT_EQ(told["models"][0]["shape"], json({128, 8, 2048, 768}));
  EXPECT_FALSE(told["tables"].empty());
}

TEST_F(CostsInC, SayOfALayerHowFirmlyItIsKnown) {
  thermoe_cost few{}, many{}, beyond{};
  few.size = many.size = beyond.size = sizeof few;
  ASSERT_EQ(layer(16, 40, few), THERMOE_OK) << thermoe_last_error();
  ASSERT_EQ(layer(16, 80, many), THERMOE_OK);
  ASSERT_EQ(layer(1e6, 128, beyond), THERMOE_OK);
  EXPECT_LT(few.energy_j, many.energy_j);
  EXPECT_LT(few.latency_s, many.latency_s);
  EXPECT_LE(few.basis, THERMOE_INTERPOLATED);
  EXPECT_EQ(beyond.basis, THERMOE_EXTRAPOLATED);
}

TEST_F(CostsInC, RefuseWhatTheModelDoesNotHave) {
  thermoe_cost cost{};
  EXPECT_EQ(layer(16, 40, cost), THERMOE_BAD_INPUT);  // its size is not set
  EXPECT_THAT(thermoe_last_error(), HasSubstr("thermoe_cost.size"));
  cost.size = sizeof cost;
  EXPECT_EQ(layer(std::nan(""), 40, cost), THERMOE_BAD_INPUT);
  const int32_t shape[4] = {128, 8, 2048, 769};
  EXPECT_EQ(thermoe_costs_layer(costs_.get(), shape, 1, "bf16", 16, 40, &cost), THERMOE_BAD_INPUT);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("769"));
  thermoe_costs* none = nullptr;
  EXPECT_EQ(thermoe_costs_open("nowhere.json", &none), THERMOE_BAD_INPUT);
  EXPECT_THAT(thermoe_last_error(), HasSubstr("nowhere.json"));
}

}  // namespace
}  // namespace thermoe
