// SPDX-License-Identifier: Apache-2.0
#include "moe/train_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "core/errors.h"
#include "temporary_folder.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

/// Ends the program at a point of a save. No std::exception: nothing of the save may tidy up.
struct Crash {};

class TrainState : public ::testing::Test {
 protected:
  struct Run {
    LanguageModel model{ModelConfig{.vocab = 8,
                                    .layers = 1,
                                    .d_model = 4,
                                    .heads = 1,
                                    .experts = 2,
                                    .top_k = 1,
                                    .d_ff = 2,
                                    .context = 4}};
    torch::optim::AdamW optimizer{model->parameters(), torch::optim::AdamWOptions(1e-3)};
  };

  /// A run whose parameters and optimiser all hold `value`.
  static Run filled(double value) {
    Run run;
    for (at::Tensor& p : run.model->parameters()) p.mutable_grad() = at::ones_like(p);
    run.optimizer.step();
    const at::NoGradGuard no_grad;
    for (at::Tensor& p : run.model->parameters()) {
      p.fill_(value);
      auto& state = *run.optimizer.state().at(p.unsafeGetTensorImpl());
      static_cast<torch::optim::AdamWParamState&>(state).exp_avg().fill_(value);
    }
    return run;
  }
  void save(
      double value, std::int64_t step, const std::function<void()>& changed = [] {}) {
    Run run = filled(value);
    save_train_state(out_, step, run.model, run.optimizer, changed);
  }
  /// The step that resuming gives, and the value that parameters and optimiser agree on.
  std::pair<std::int64_t, double> load() {
    Run run;
    const std::int64_t step = load_train_state(out_, run.model, run.optimizer, at::kCPU);
    const at::Tensor p = run.model->parameters().front();
    const auto& state = *run.optimizer.state().at(p.unsafeGetTensorImpl());
    const auto& moment = static_cast<const torch::optim::AdamWParamState&>(state).exp_avg();
    const double value = p.view(-1)[0].item<double>();
    EXPECT_EQ(moment.view(-1)[0].item<double>(), value);
    return {step, value};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(out_))
      found.push_back(entry.path().filename().string());
    return found;
  }

  TemporaryFolder folder_{};
  std::string out_ = folder_.file("run");
};

TEST_F(TrainState, ACrashAtAnyPointOfASaveLeavesTheOldStateOrTheNewOne) {
  for (const std::int64_t step : {4, 3}) {  // a later step, and the same one again
    bool crashed = true;
    int points = 0;
    for (; crashed; ++points) {
      fs::remove_all(out_);
      fs::create_directories(out_);
      save(1.0, 3);
      crashed = false;
      int change = 0;
      try {
        save(2.0, step, [&] {
          if (change++ == points) throw Crash{};
        });
      } catch (const Crash&) {
        crashed = true;
      }
      const auto left = load();
      EXPECT_THAT(left, ::testing::AnyOf(std::pair(std::int64_t{3}, 1.0), std::pair(step, 2.0)))
          << "step " << step << ", crash after change " << points;
      if (!crashed) {
        EXPECT_EQ(left, std::pair(step, 2.0));
      }
      // What a crash left behind neither stops the next save nor stays.
      save(5.0, step);
      EXPECT_EQ(load(), std::pair(step, 5.0));
      EXPECT_THAT(names(), ElementsAre("state-" + std::to_string(step)));
    }
    EXPECT_GE(points, 6);
  }
}

TEST_F(TrainState, AStateOfAnotherNameIsLeftAlone) {
  fs::create_directories(fs::path(out_) / "state-of-mind");
  save(1.0, 3);
  EXPECT_TRUE(fs::exists(fs::path(out_) / "state-of-mind"));
  EXPECT_EQ(load(), std::pair(std::int64_t{3}, 1.0));
}

TEST_F(TrainState, WithoutAFinishedStateThereIsNothingToResume) {
  fs::create_directories(fs::path(out_) / "state-9.tmp");
  EXPECT_THROW(load(), UsageError);
}

}  // namespace
}  // namespace thermoe
