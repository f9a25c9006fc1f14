// SPDX-License-Identifier: Apache-2.0
#include "profile/record/run_profile.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/errors.h"
#include "core/json_file.h"
#include "profile/record/record_file.h"
#include "scratch_file.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// Says that an execution took a microsecond a token, and lets as much time pass.
class FakeTimer final : public OpTimer {
 public:
  FakeTimer(VirtualClock& clock, std::vector<std::string>& timed) : clock_(clock), timed_(timed) {}
  OpTiming time(const OpWork& work, const std::string& name, ExecutionCount count) override {
    timed_.push_back(name);
    for (int call = 0; call < count.warm_up + count.timed; ++call) {
      work.enqueue(call, Stream{nullptr});
    }
    clock_.advance_to(clock_.now() + Seconds(0.1));
    const auto ns = static_cast<std::int64_t>(1000 * read_op_point(name)->tokens);
    return {.spans_ns = std::vector<std::int64_t>(static_cast<std::size_t>(count.timed), ns)};
  }

 private:
  VirtualClock& clock_;
  std::vector<std::string>& timed_;
};

/// A GPU of arithmetic: 100 W idle, 300 W at work.
class World {
 public:
  VirtualClock clock{};
  std::atomic<bool> stop{false};
  std::vector<std::string> timed{};
  std::vector<int> calls{};  ///< of all points, as they were executed
  bool sensed = true;        ///< has an energy counter
  bool limited = false;      ///< says its power limit
  Backend backend = Backend::kCpu;
  std::function<void()> on_make{};

  ProfileMachine machine() {
    ProfileMachine machine{.backend = backend};
    machine.facts = {.backend = "cpu", .device = "A device", .driver = "1", .seed = 1};
    machine.make = [this](const OpPoint&) {
      if (on_make) on_make();
      return OpWork{[this](int call, Stream) { calls.push_back(call); }};
    };
    machine.sustain = [this](const OpWork&) -> SustainedWork {
      return [this](const std::function<void()>& meanwhile) {
        pass(Seconds(0.04), Watts(300));
        meanwhile();
        return std::int64_t{1000};
      };
    };
    machine.timer = std::make_unique<FakeTimer>(clock, timed);
    machine.sensors = std::make_unique<ScriptedSource>([this] {
      GpuReading gpu;
      if (sensed) gpu.energy.value = energy_;
      gpu.power_instant.value = Watts(300);
      if (limited) gpu.power_limit.value = Watts(700);
      gpu.temperature.value = Celsius(50);
      return Snapshot{.gpus = {gpu}};
    });
    return machine;
  }

  ProfileResult run(const ProfileRequest& request) {
    ProfileMachine fresh = machine();
    return run_profile(request, {.machine = fresh,
                                 .clock = clock,
                                 .rest = [this](Seconds time) { pass(time, Watts(100)); },
                                 .stop = stop});
  }

 private:
  void pass(Seconds time, Watts power) {
    energy_ += power * time;
    clock.advance_to(clock.now() + time);
  }
  Joules energy_{};
};

/// A cost model of that device, with one table.
std::string model_of(const char* device) {
  nlohmann::json model = nlohmann::json::parse(R"({"schema": 1,
    "driver": "1", "clocks": {}, "power_definition": "w", "idle_active_w": 50, "idle_cold_w": 20,
    "perturbation": {}, "entries": [{"op": "topk_route", "shape": [8, 2], "dtype": "f32",
    "source": "timed", "rows": [{"tokens": 1, "latency_us": 3}]}]})");
  model["device"] = device;
  return model.dump();
}

class RunProfile : public ::testing::Test {
 protected:
  RunProfile() {
    request.out = folder / "profile";
    request.points = profile_points(
        {.experts = {.name = "Small", .experts = 8, .top_k = 2, .d_model = 64, .d_ff = 32}},
        {.tokens = {1, 2, 4, 8}, .active = {1, 2}, .dtypes = {"f32"}, .ops = {"expert_layer"}});
    request.models = {{.name = "Small", .experts = 8, .top_k = 2, .d_model = 64, .d_ff = 32}};
  }
  ProfileRecords records() const { return read_records(request.out + "/" + kRecordsFile); }

  ScratchFolder folder;
  ProfileRequest request;
  World world;
};

TEST_F(RunProfile, TimesEnergiesAndACostModelComeOutOfOneRun) {
  request.anchors = static_cast<int>(request.points.size());
  const ProfileResult result = world.run(request);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.records.times.size(), request.points.size());
  EXPECT_EQ(result.records.energies.size(), request.points.size());
  const auto model = KernelCostModel::load(result.cost_model.value());
  const Lookup found = model.layer(request.models[0], "f32", 4, 2);
  EXPECT_EQ(found.basis, Basis::kMeasured);
  EXPECT_NEAR(found.cost.latency.value, 4e-6, 1e-12);
  EXPECT_NEAR(found.cost.energy.value, 200.0 * 0.04 / 1000, 1e-4);
  EXPECT_NEAR(model.active_idle().value, 100, 2);
  const auto profile = read_json_file(request.out + "/" + kProfileFile);
  EXPECT_EQ(profile["ranges"].size(), request.points.size());
  const std::string text = to_text(result);
  EXPECT_THAT(text, HasSubstr("moe_experts [8, 2, 64, 32] f32 tokens 4 active 2"));
  EXPECT_THAT(text, HasSubstr("cost model: "));
}

TEST_F(RunProfile, AStepResponseWithoutEnergiesWorksAtAPointThatTheBackendHas) {
  request.points = profile_points(
      {.experts = {.name = "Small", .experts = 8, .top_k = 2, .d_model = 64, .d_ff = 32},
       .heads = 2,
       .head_dim = 16},
      {.tokens = {1, 8}, .dtypes = {"bf16"}});
  ASSERT_TRUE(op_problem(Backend::kCuda, request.points.back().point));
  request.timing.thermal = Seconds(10);
  world.backend = Backend::kCuda;
  const ProfileResult result = world.run(request);
  ASSERT_TRUE(result.records.thermal);
  EXPECT_EQ(to_string(result.records.thermal->point),
            "moe_experts [8, 2, 64, 32] bf16 tokens 8 active 8")
      << "the one that moves most";
}

TEST_F(RunProfile, StrainWorksAtAPromptsBatchAndOnlyOnce) {
  request.timing.strain = Seconds(25);
  ProfileResult result = world.run(request);
  EXPECT_FALSE(result.records.strain);
  EXPECT_THAT(result.notes, Contains(HasSubstr("no strain: the device says no power or no power "
                                               "limit")));
  world.limited = true;
  result = world.run(request);
  ASSERT_TRUE(result.records.strain);
  EXPECT_EQ(to_string(result.records.strain->point),
            "moe_experts [8, 2, 64, 32] f32 tokens 4096 active 8");
  EXPECT_THAT(to_text(result), HasSubstr("came to 300 W of 700 W; that is not near enough"));
  const Seconds before = world.clock.now();
  EXPECT_TRUE(world.run(request).records.strain);
  EXPECT_LT((world.clock.now() - before).value, 1.0) << "it is there already";
}

TEST_F(RunProfile, StrainNeverWorksAtALayerThatIsLeftOut) {
  world.limited = true;
  request.timing.strain = Seconds(25);
  const OpPoint large =
      read_op_point("moe_experts [512, 8, 8192, 4096] bf16 tokens 1 active 1").value();
  request.points.insert(request.points.begin(),
                        ProfilePoint{.part = "expert_layer", .point = large});
  EXPECT_EQ(to_string(world.run(request).records.strain.value().point),
            "moe_experts [8, 2, 64, 32] f32 tokens 4096 active 8")
      << "its weights take 103 GB";
}

TEST_F(RunProfile, ARepeatIsHeldAgainstTheFirstTimeAndMadeOnce) {
  request.repeated_share = 0.2;
  const std::size_t repeats = (request.points.size() + 4) / 5;
  const std::string text = to_text(world.run(request));
  EXPECT_THAT(text, HasSubstr(fmt::format("repeated: {0} of {0} medians within the first's spread; "
                                          "the largest change is 0.0 %",
                                          repeats)));
  EXPECT_EQ(records().repeats.size(), repeats);
  EXPECT_EQ(records().times.size(), request.points.size()) << "and is no second row";
  world.timed.clear();
  world.run(request);
  EXPECT_TRUE(world.timed.empty());
}

TEST_F(RunProfile, APointDoesNotBeginWithTheWeightsThatTheOneBeforeItHasJustRead) {
  request.timing.executions = 3;
  request.repeated_share = 0.5;
  world.run(request);
  ASSERT_GT(world.timed.size(), request.points.size());
  std::vector<int> expected(world.timed.size() * (request.timing.warm_up + 3U));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(world.calls, expected) << "copies rotate on from point to point";
}

TEST_F(RunProfile, WithoutASensorTheOutputDoesNotAskForWhatWasAskedFor) {
  world.sensed = false;
  request.anchors = 2;
  const ProfileResult result = world.run(request);
  EXPECT_THAT(result.notes, Contains(HasSubstr("no energy: ")));
  EXPECT_THAT(result.notes, Contains(HasSubstr("no cost model of its own")));
  EXPECT_THAT(result.notes, Not(Contains(HasSubstr("--energy"))));
}

TEST_F(RunProfile, AStoppedRunIsGoneOnWith) {
  world.on_make = [this] { world.stop = world.timed.size() >= 3; };
  const ProfileResult first = world.run(request);
  EXPECT_FALSE(first.complete);
  const std::size_t had = records().times.size();
  EXPECT_EQ(had, 4U) << "the point in hand is finished";
  world.stop = false;
  world.on_make = {};
  world.timed.clear();
  EXPECT_TRUE(world.run(request).complete);
  EXPECT_EQ(world.timed.size(), request.points.size() - had) << "nothing is measured again";
  EXPECT_EQ(records().times.size(), request.points.size());
  world.timed.clear();
  EXPECT_TRUE(world.run(request).complete);
  EXPECT_TRUE(world.timed.empty());
}

TEST_F(RunProfile, ABudgetThatIsUsedUpEndsItWithANote) {
  world.on_make = [this] { world.clock.advance_to(world.clock.now() + Seconds(10)); };
  request.budget = Seconds(25);
  const ProfileResult result = world.run(request);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.records.times.size(), 3U);
  EXPECT_THAT(result.notes, Contains(HasSubstr("repeat the command")));
  EXPECT_LT(world.clock.now(), Seconds(32)) << "at most the point in hand is beyond it";
}

TEST_F(RunProfile, WithoutEnergyThereIsNoModelButATableForAnother) {
  request.points = profile_points(
      {.experts = {.name = "Small", .experts = 8, .top_k = 2, .d_model = 64, .d_ff = 32}},
      {.tokens = {1, 2}, .dtypes = {"f32"}, .ops = {"fc1"}});
  const std::string model = folder.write("model.json", model_of("A device"));
  request.merge_into = model;
  const ProfileResult result = world.run(request);
  EXPECT_FALSE(result.cost_model);
  EXPECT_THAT(result.notes, Contains(HasSubstr("--energy")));
  EXPECT_EQ(KernelCostModel::load(model).tables().size(), 2U);
  const std::string other = folder.write("other.json", model_of("Another"));
  request.merge_into = other;
  EXPECT_THROW(world.run(request), FormatError);
}

TEST_F(RunProfile, ItsFilesAreMadeAgainFromItsRecordsAlone) {
  request.anchors = static_cast<int>(request.points.size());
  const auto made = KernelCostModel::load(world.run(request).cost_model.value());
  std::filesystem::remove(request.out + "/" + kCostModelFile);
  std::filesystem::remove(request.out + "/" + kProfileFile);
  const ProfileResult again = profile_files({.out = request.out, .models = request.models});
  const auto model = KernelCostModel::load(again.cost_model.value());
  EXPECT_EQ(model.tables(), made.tables());
  EXPECT_EQ(model.active_idle(), made.active_idle());
  EXPECT_TRUE(std::filesystem::exists(request.out + "/" + kProfileFile));
  EXPECT_THROW(profile_files({.out = folder / "none"}), FormatError);
  const std::string other = folder.write("other.json", model_of("Another"));
  EXPECT_THROW(profile_files({.out = request.out, .merge_into = other}), FormatError);
}

TEST_F(RunProfile, AFolderThatCannotBeMadeIsRefusedBeforeAnyWork) {
  request.out = folder.write("file", "x") + "/below";
  EXPECT_THROW(world.run(request), WriteError);
  EXPECT_TRUE(world.timed.empty());
}

TEST_F(RunProfile, APlanKnowsWhatTheFolderHas) {
  world.run(request);
  request.anchors = 3;
  const ProfilePlan plan = plan_of(request, {.seed = 1}, Backend::kCpu);
  EXPECT_TRUE(plan.time.empty());
  EXPECT_EQ(plan.energy.size(), 3U);
}

}  // namespace
}  // namespace thermoe
