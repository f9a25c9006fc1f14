// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/errors.h"
#include "cost/cost_writer.h"
#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A file of this test's own, gone with it.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ =
        ::testing::TempDir() + "thermoe_" + test->test_suite_name() + "_" + test->name() + ".json";
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The message with which a text is refused, without the path that it starts with.
std::string refusal(const std::string& text) {
  const TemporaryFile file(text);
  try {
    KernelCostModel::load(file.path());
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), StartsWith(file.path() + ": "));
    return std::string(e.what()).substr(file.path().size() + 2);
  }
  return "accepted";
}

using Change = std::function<void(nlohmann::json&)>;
std::string refusal(const Change& change) {
  nlohmann::json json = testing::sound_model();
  change(json);
  return refusal(json.dump());
}

nlohmann::json& row(nlohmann::json& json, int entry, int index) {
  return json["entries"][entry]["rows"][index];
}

TEST(CostSchema, ASoundFileLoads) {
  const TemporaryFile file(testing::sound_model().dump(2));
  EXPECT_EQ(KernelCostModel::load(file.path()).tables().size(), 2u);
}

TEST(CostSchema, RefusesAnotherSchema) {
  EXPECT_THAT(refusal([](auto& j) { j["schema"] = 3; }),
              AllOf(StartsWith("/schema: is 3"), HasSubstr("reads schemas 1 and 2")));
  EXPECT_THAT(refusal([](auto& j) { j.erase("schema"); }), StartsWith("/schema: is missing"));
}

TEST(CostSchema, RefusesUnknownFieldsWithTheNearestName) {
  EXPECT_THAT(refusal([](auto& j) { j["idle_activ_w"] = 1; }),
              AllOf(StartsWith("/idle_activ_w: "), HasSubstr("did you mean \"idle_active_w\"?")));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["sorce"] = "ncu"; }),
              AllOf(StartsWith("/entries/1/sorce: "), HasSubstr("\"source\"")));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 2)["latency_ms"] = 1; }),
              AllOf(StartsWith("/entries/0/rows/2/latency_ms: "), HasSubstr("\"latency_us\"")));
  EXPECT_THAT(refusal([](auto& j) { j["thermal"]["ambient"] = 25; }),
              AllOf(StartsWith("/thermal/ambient: "), HasSubstr("\"ambient_c\"")));
  EXPECT_THAT(refusal([](auto& j) { j["perturbation"]["power"]["kne"] = 1; }),
              StartsWith("/perturbation/power/kne: "));
  EXPECT_THAT(refusal([](auto& j) { j["clocks"]["sm"] = 1; }), StartsWith("/clocks/sm: "));
}

TEST(CostSchema, ActiveExpertsBelongToExpertLayersOnly) {
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 0)["active_experts"] = 8; }),
              StartsWith("/entries/1/rows/0/active_experts: "));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 1).erase("active_experts"); }),
              StartsWith("/entries/0/rows/1/active_experts: is missing"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 2)["active_experts"] = 129; }),
              AllOf(StartsWith("/entries/0/rows/2/active_experts: is 129"), HasSubstr("[0, 128]")));
}

TEST(CostSchema, RefusesNegativeAndZeroCosts) {
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 1)["latency_us"] = -9.0; }),
              StartsWith("/entries/1/rows/1/latency_us: is -9"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 1)["latency_us"] = 0.0; }),
              StartsWith("/entries/1/rows/1/latency_us: is 0"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 0)["energy_uj"] = -1; }),
              StartsWith("/entries/0/rows/0/energy_uj: is -1"));
  EXPECT_THAT(refusal([](auto& j) { j["idle_cold_w"] = -72; }), StartsWith("/idle_cold_w: is -72"));
  EXPECT_THAT(refusal([](auto& j) { j["thermal"]["time_constant_s"] = 0; }),
              StartsWith("/thermal/time_constant_s: is 0"));
}

TEST(CostSchema, RefusesWhatIsNoFiniteNumber) {
  // JSON has no NaN; writers that print one, and numbers beyond a double, are refused by line.
  std::string text = testing::sound_model().dump();
  const auto at = text.find("21.0");
  EXPECT_THAT(refusal(std::string(text).replace(at, 4, "NaN")),
              AllOf(HasSubstr("not valid JSON"), HasSubstr("line 1")));
  EXPECT_THAT(refusal(std::string(text).replace(at, 4, "1e999")), HasSubstr("1e999"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 2)["latency_us"] = nullptr; }),
              StartsWith("/entries/1/rows/2/latency_us: is null"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 2)["latency_us"] = "fast"; }),
              StartsWith("/entries/1/rows/2/latency_us: is \"fast\""));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 2)["latency_us"] = 1e300; }),
              StartsWith("/entries/1/rows/2/latency_us: is 1e+300"));
}

TEST(CostSchema, RefusesUnsortedAndRepeatedRows) {
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 2)["tokens"] = 2; }),
              AllOf(StartsWith("/entries/1/rows/2/tokens: is 2 after 4"), HasSubstr("sort")));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 2)["tokens"] = 4; }),
              AllOf(StartsWith("/entries/1/rows/2/tokens: repeats 4 of /entries/1/rows/1")));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 1)["active_experts"] = 20; }),
              StartsWith("/entries/0/rows/1/active_experts: repeats 20"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 1)["active_experts"] = 10; }),
              StartsWith("/entries/0/rows/1/active_experts: is 10 after 20"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 1, 0)["tokens"] = 0; }),
              StartsWith("/entries/1/rows/0/tokens: is 0"));
}

TEST(CostSchema, RefusesATruncatedFileWhereverItEnds) {
  const std::string text = testing::sound_model().dump(1);
  for (std::size_t length = 0; length < text.size(); length += 97) {
    EXPECT_THAT(refusal(text.substr(0, length)), HasSubstr("not valid JSON")) << length;
  }
}

TEST(CostSchema, RefusesNestingThatWouldExhaustTheStack) {
  EXPECT_THAT(refusal(std::string(200'000, '[')), HasSubstr("nested deeper than 64"));
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(refusal(objects), HasSubstr("nested deeper than 64"));
}

TEST(CostSchema, RefusesEmptyAndMissingParts) {
  EXPECT_THAT(refusal([](auto& j) { j["entries"] = nlohmann::json::array(); }),
              StartsWith("/entries: is empty"));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["rows"] = nlohmann::json::array(); }),
              StartsWith("/entries/1/rows: is empty"));
  EXPECT_THAT(refusal([](auto& j) { j.erase("entries"); }), StartsWith("/entries: is missing"));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][0] = 3; }), StartsWith("/entries/0: is 3"));
  EXPECT_THAT(refusal([](auto& j) { row(j, 0, 3).erase("energy_uj"); }),
              StartsWith("/entries/0/rows/3/energy_uj: is missing"));
  EXPECT_THAT(refusal("[]"), HasSubstr("must be an object"));
  EXPECT_THROW(KernelCostModel::load("/no/such/cost_model.json"), FormatError);
}

TEST(CostSchema, RefusesOpsShapesAndSourcesThatItDoesNotKnow) {
  EXPECT_THAT(
      refusal([](auto& j) { j["entries"][1]["op"] = "linnear"; }),
      AllOf(StartsWith("/entries/1/op: is \"linnear\""), HasSubstr("did you mean \"linear\"?")));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["shape"] = {1536}; }),
              AllOf(StartsWith("/entries/1/shape: has 1 numbers"), HasSubstr("[out, in]")));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["shape"][0] = 0; }),
              StartsWith("/entries/1/shape/0: must be a whole number"));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["shape"][0] = 15.5; }),
              StartsWith("/entries/1/shape/0: must be a whole number"));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][1]["dtype"] = "bfloat16"; }),
              AllOf(StartsWith("/entries/1/dtype: is \"bfloat16\""), HasSubstr("bf16")));
  EXPECT_THAT(refusal([](auto& j) { j["entries"][0]["source"] = "guess"; }),
              AllOf(StartsWith("/entries/0/source: is \"guess\""), HasSubstr("cupti")));
}

TEST(CostSchema, KnowsEverySourceByTheNameThatItGives) {
  for (const std::string source : {"cupti", "nsys", "ncu", "calibrated", "derived", "simulated"}) {
    auto json = testing::sound_model();
    json["entries"][0]["source"] = source;
    const KernelCostModel model = KernelCostModel::from_json(json, "m.json");
    EXPECT_EQ(to_string(model.tables()[0].source()), source);
    EXPECT_EQ(to_json(model)["entries"][0]["source"], source);
  }
}

TEST(CostSchema, RefusesATableThatStandsTwice) {
  EXPECT_THAT(refusal([](auto& j) { j["entries"].push_back(j["entries"][0]); }),
              AllOf(StartsWith("/entries/2: repeats moe_experts"), HasSubstr("/entries/0")));
}

TEST(CostSchema, ModelsAndSensorsThatCannotBeAreRefused) {
  const auto model = [](const char* change) {
    return refusal([=](nlohmann::json& json) {
      json["models"] = {{{"name", "A"}, {"layers", 4}, {"shape", {128, 8, 2048, 768}}}};
      json["models"][0].merge_patch(nlohmann::json::parse(change));
    });
  };
  EXPECT_EQ(model("{}"), "accepted");
  EXPECT_THAT(model(R"({"name": null})"), StartsWith("/models/0/name: is missing"));
  EXPECT_THAT(model(R"({"layers": 0})"), StartsWith("/models/0/layers"));
  EXPECT_THAT(model(R"({"shape": [128, 8, 2048]})"),
              StartsWith("/models/0/shape: is [128,8,2048]"));
  EXPECT_THAT(model(R"({"size": 1})"), StartsWith("/models/0/size"));
  EXPECT_THAT(model(R"({"published_active_experts":
                        [{"tokens": 16, "active_experts": 129, "source": "x"}]})"),
              StartsWith("/models/0/published_active_experts/0/active_experts"));
  EXPECT_THAT(
      refusal([](nlohmann::json& json) {
        const nlohmann::json one = {{"name", "A"}, {"layers", 4}, {"shape", {128, 8, 2048, 768}}};
        json["models"] = {one, one};
      }),
      StartsWith("/models/1/name: repeats \"A\" of /models/0"));
  EXPECT_THAT(refusal([](nlohmann::json& json) {
                json["sensors"] = {{"delay_s", 0.1}};
              }),
              StartsWith("/sensors/window_s: is missing"));
  EXPECT_THAT(refusal([](nlohmann::json& json) {
                json["sensors"] = {{"delay_s", -0.1}, {"window_s", 0.1}};
              }),
              StartsWith("/sensors/delay_s"));
}

}  // namespace
}  // namespace thermoe
