// SPDX-License-Identifier: Apache-2.0
#include "moe/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/errors.h"
#include "moe/language_model.h"
#include "moe/loss_curve.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

class Train : public ::testing::Test {
 protected:
  Train() {
    fs::create_directories(folder_);
    std::ofstream text(folder_ / "text.bin", std::ios::binary);
    for (int i = 0; i < 400; ++i) text << "the quick brown fox " << i % 7 << '\0';
  }
  ~Train() override { fs::remove_all(folder_); }

  TrainConfig config(const std::string& out) const {
    return {.model = {.layers = 1,
                      .d_model = 16,
                      .heads = 2,
                      .experts = 8,
                      .top_k = 2,
                      .d_ff = 8,
                      .context = 32},
            .text = (folder_ / "text.bin").string(),
            .heldout = (folder_ / "text.bin").string(),
            .out = (folder_ / out).string(),
            .steps = 12,
            .sequences = 4,
            .length = 32,
            .learning_rate = 2e-2,
            .warmup_steps = 2,
            .energy_weight = 0.01,
            .decode_batch = 4,
            .log_every = 4,
            .eval_every = 4,
            .save_every = 6};
  }
  static bool run(const TrainConfig& c, std::int64_t stop_after = 1 << 20) {
    std::int64_t asked = 0;
    return train(
        c, [](const TrainProgress&) {}, [&] { return asked++ >= stop_after; });
  }
  static std::string content_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_ = fs::path(::testing::TempDir()) /
                     (std::string("train_") + std::to_string(::getpid()) + "_" +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(Train, TheLossFallsAndTheCurveIsWritten) {
  std::vector<TrainProgress> rows;
  TrainConfig c = config("a");
  c.steps = 40;
  ASSERT_TRUE(train(
      c, [&](const TrainProgress& row) { rows.push_back(row); }, [] { return false; }));
  ASSERT_EQ(rows.size(), 10U);
  EXPECT_LT(*rows.back().heldout_bits_per_byte, *rows.front().heldout_bits_per_byte - 0.5);
  const std::string curve = content_of(fs::path(c.out) / "loss.csv");
  EXPECT_EQ(std::count(curve.begin(), curve.end(), '\n'), 11);
  EXPECT_NO_THROW(load_language_model(c.out + "/model.safetensors"));
}

TEST_F(Train, AStoppedAndResumedRunEndsWhereAnUninterruptedOneDoes) {
  ASSERT_TRUE(run(config("whole")));
  TrainConfig halves = config("halves");
  EXPECT_FALSE(run(halves, 7));
  EXPECT_FALSE(fs::exists(folder_ / "halves" / "model.safetensors"));
  halves.resume = true;
  ASSERT_TRUE(run(halves));
  EXPECT_EQ(content_of(folder_ / "whole" / "model.safetensors"),
            content_of(folder_ / "halves" / "model.safetensors"));
}

TEST_F(Train, AResumedCurveDropsATornRowAndThoseBeyondItsFirstStep) {
  const std::string path = (folder_ / "loss.csv").string();
  {
    LossCurve fresh(path, 0);
    for (const int step : {2, 4, 6}) fresh.add({.step = step});
  }
  std::ofstream(path, std::ios::app) << "\n1";  // a blank line, and a row torn after a digit
  const LossCurve resumed(path, 4);
  const std::string curve = content_of(path);
  EXPECT_THAT(curve, ::testing::HasSubstr("\n2,"));
  EXPECT_THAT(curve, ::testing::HasSubstr("\n4,"));
  EXPECT_THAT(curve, ::testing::Not(::testing::HasSubstr("\n6,")));
  EXPECT_EQ(std::count(curve.begin(), curve.end(), '\n'), 3);
}

TEST_F(Train, ADirectoryWithARunIsNotOverwritten) {
  ASSERT_TRUE(run(config("a")));
  EXPECT_THROW(run(config("a")), UsageError);
}

TEST_F(Train, ResumingWithOtherSettingsNamesTheSetting) {
  EXPECT_FALSE(run(config("a"), 3));
  TrainConfig other = config("a");
  other.resume = true;
  other.learning_rate = 1e-3;
  try {
    run(other);
    FAIL() << "other settings were accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("/learning_rate"));
  }
}

TEST_F(Train, BadInputIsNamed) {
  TrainConfig missing = config("a");
  missing.text = (folder_ / "none.bin").string();
  EXPECT_THROW(run(missing), FormatError);
  EXPECT_FALSE(fs::exists(missing.out)) << "nothing is made for a run that cannot start";
  TrainConfig elastic = config("b");
  elastic.elastic_min = 3;
  EXPECT_THROW(run(elastic), UsageError);
  TrainConfig device = config("c");
  device.device = "tpu";
  EXPECT_THROW(run(device), UsageError);
}

}  // namespace
}  // namespace thermoe
