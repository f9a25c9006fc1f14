// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/errors.h"
#include "core/json_file.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

std::string shipped(const std::string& name) {
  return fmt::format("{}/data/h100/{}", THERMOE_SOURCE_DIR, name);
}

class CostWriter : public ::testing::TestWithParam<const char*> {
 protected:
  ~CostWriter() override { std::filesystem::remove(path_); }
  std::string path_ = fmt::format("{}cost_writer.{}.json", ::testing::TempDir(), ::getpid());
};

TEST_P(CostWriter, WhatIsWrittenLoadsBackEqualToTheLastBit) {
  const KernelCostModel model = KernelCostModel::load(shipped(GetParam()));
  write_cost_model(model, path_);
  const nlohmann::json written = read_json_file(path_);
  const KernelCostModel back = KernelCostModel::from_json(written, model.header().path);
  EXPECT_TRUE(back == model);
  EXPECT_FALSE(back == model.with_energy_scale(1.0 + 1e-12)) << "the comparison sees energies";
  // Numbers stand there as people wrote them.
  const nlohmann::json source = read_json_file(shipped(GetParam()));
  for (std::size_t e = 0; e < source["entries"].size(); ++e) {
    const nlohmann::json& rows = source["entries"][e]["rows"];
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const nlohmann::json& row = written["entries"][e]["rows"][r];
      for (const auto& [name, value] : rows[r].items())
        EXPECT_EQ(row[name], value) << e << " " << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, CostWriter,
                         ::testing::Values("kernel_cost_model.json", "plant_cost_model.json"),
                         [](const auto& info) { return std::string(info.param).substr(0, 5); });

TEST(CostWriterOfLiterals, EveryFieldThatAFileMayHaveSurvives) {
  auto json = testing::sound_model();
  json["purpose"] = "a test";
  json["sensors"] = {{"delay_s", 0.2}, {"window_s", 0.05}, {"period_s", 0.02}};
  json["models"] = {{{"name", "Plain"},
                     {"layers", 3},
                     {"shape", {4, 2, 64, 32}},
                     {"gated", false},
                     {"published_active_experts",
                      {{{"tokens", 16}, {"active_experts", 3.5}, {"source", "a paper"}}}}}};
  nlohmann::json& linear = json["entries"][1];
  linear["group_size"] = 32;
  linear["method"] = "m";
  linear["rows"][0]["heat_uk"] = 7.3;
  linear["rows"][0]["samples"] = 11;
  linear["rows"][0]["spread"] = 0.03;
  linear["rows"][0]["energy_spread"] = 0.1;
  linear["rows"][0]["energy_fitted"] = true;
  const KernelCostModel model = KernelCostModel::from_json(json, "m.json");
  const nlohmann::json written = to_json(model);
  EXPECT_TRUE(KernelCostModel::from_json(written, "m.json") == model);
  EXPECT_EQ(written["sensors"], json["sensors"]);
  EXPECT_EQ(written["models"], json["models"]);
  EXPECT_EQ(written["entries"][1]["rows"][0], linear["rows"][0]);

  for (const char* part : {"thermal", "perturbation", "clocks"})
    json[part] = nlohmann::json::object();
  json.erase("thermal");
  const KernelCostModel bare = KernelCostModel::from_json(json, "m.json");
  EXPECT_TRUE(KernelCostModel::from_json(to_json(bare), "m.json") == bare);
}

TEST(CostWriterOfLiterals, AFolderThatIsNotThereIsNamed) {
  const KernelCostModel model = KernelCostModel::from_json(testing::sound_model(), "m.json");
  EXPECT_THROW(write_cost_model(model, ::testing::TempDir() + "none/such/m.json"), WriteError);
}

}  // namespace
}  // namespace thermoe
