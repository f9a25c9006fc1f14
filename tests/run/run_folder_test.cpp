// SPDX-License-Identifier: Apache-2.0
#include "run/run_folder.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

class RunFolder : public testing::Test {
 protected:
  RunFolder() { std::filesystem::create_directories(root_); }
  ~RunFolder() override { std::filesystem::remove_all(root_); }
  std::string path(const std::string& name) const { return (root_ / name).string(); }

  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("run_folder." + std::to_string(::getpid()));
};

TEST_F(RunFolder, IsMadeWithItsParents) {
  EXPECT_EQ(make_run_folder(path("a/b"), "x", false), path("a/b"));
  EXPECT_TRUE(std::filesystem::is_directory(path("a/b")));
}

TEST_F(RunFolder, ThatIsNotEmptyIsRefusedUnlessForced) {
  make_run_folder(path("a"), "x", false);
  std::ofstream(path("a/summary.json")) << "{}";
  std::ofstream(path("a/notes.txt")) << "mine";
  try {
    make_run_folder(path("a"), "x", false);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("--force"));
  }
  make_run_folder(path("a"), "x", true);
  EXPECT_FALSE(std::filesystem::exists(path("a/summary.json"))) << "an old summary would mislead";
  EXPECT_TRUE(std::filesystem::exists(path("a/notes.txt")));
}

TEST_F(RunFolder, DefaultsToTheFirstFreeNumber) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(root_);
  EXPECT_EQ(make_run_folder(std::nullopt, "demo", false), "runs/demo-1");
  EXPECT_EQ(make_run_folder(std::nullopt, "demo", false), "runs/demo-2");
  std::filesystem::current_path(before);
}

TEST_F(RunFolder, AFileInItsPlaceIsRefused) {
  std::ofstream(path("file")) << "x";
  EXPECT_THROW(make_run_folder(path("file"), "x", false), UsageError);
  EXPECT_THROW(check_run_folder(path("file"), true), UsageError);
  EXPECT_NO_THROW(check_run_folder(path("none"), false));
  EXPECT_FALSE(std::filesystem::exists(path("none"))) << "it only looks";
}

TEST_F(RunFolder, ConfigHoldsTheWholeExperimentAndSaysSimulated) {
  const Experiment e = experiment_from(nlohmann::json::object(),
                                       std::string(THERMOE_SOURCE_DIR) + "/experiments/e.json");
  ExperimentInputs inputs = load_inputs(e);
  write_config(root_.string(), inputs);
  const auto config = read_json_file(path("config.json"));
  EXPECT_EQ(config["simulated"], true);
  EXPECT_EQ(to_json(experiment_from(config["experiment"], "e.json")), to_json(inputs.experiment));
  EXPECT_EQ(config["costs"].get<std::string>(),
            "Qwen3-30B-A3B shape (48 layers, 128 experts of 2048 x 768, top-8), simulated; expert "
            "layers only");
  EXPECT_EQ(config["machine"]["device"], inputs.machine.device);
  EXPECT_FALSE(config["machine"].contains("driver")) << "a simulated machine has none";
  inputs.machine = {.device = "Lent GPU", .driver = "580.1", .simulated = false};
  write_config(root_.string(), inputs);
  EXPECT_THAT(read_json_file(path("config.json")).dump(),
              testing::Not(testing::AnyOf(testing::HasSubstr("simulated\":true"),
                                          testing::HasSubstr(", simulated"),
                                          testing::HasSubstr("virtual"))))
      << "the words come from the machine";
  EXPECT_EQ(read_json_file(path("config.json"))["machine"],
            (nlohmann::json{{"device", "Lent GPU"}, {"driver", "580.1"}}));
}

}  // namespace
}  // namespace thermoe
