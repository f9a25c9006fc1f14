// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"
#include "run_under_fixture.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(RunUnder, TheChildsKernelsGetTheOpsOfItsRanges) {
  tools_.nsys(recorded());
  const UnderResult result = run();
  EXPECT_EQ(result.exit_code, 0);
  ASSERT_TRUE(result.profile);
  ASSERT_EQ(result.profile->kernels.size(), 1U);
  EXPECT_EQ(result.profile->kernels.front().op, kLinear);
  EXPECT_EQ(result.profile->kernels.front().count, 3);
  EXPECT_THAT(result.files,
              ElementsAre(folder_ / "out/nsys-1.nsys-rep", folder_ / "out/nsys-1.sqlite",
                          folder_ / "out/nsys-1.json"));
  EXPECT_FALSE(result.merged);
  const auto records = nlohmann::json::parse(bytes_of(folder_ / "out/nsys-1.json"));
  EXPECT_EQ(records.at("kernels").at(0).at("count"), 3);
}

TEST_F(RunUnder, WhatTheChildPrintsIsPassedOn) {
  tools_.nsys(recorded());
  run();
  EXPECT_EQ(printed_, "op done\n");
  EXPECT_EQ(printed_errors_, "trouble\n");
}

TEST_F(RunUnder, CostsAreMergedIntoTheModel) {
  tools_.nsys(recorded());
  request_.cost_model = folder_.write("model.json", testing::sound_model().dump());
  const UnderResult result = run();
  ASSERT_TRUE(result.merged);
  EXPECT_EQ(result.merged->rows, 1);
  const KernelCostModel model = KernelCostModel::load(*request_.cost_model);
  const CostTable* table = model.find({.op = "linear", .shape = {1536, 2048}, .dtype = "bf16"});
  ASSERT_NE(table, nullptr);
  EXPECT_NEAR(table->rows()[1].latency.value, 12e-6, 1e-12);
  EXPECT_EQ(table->source(), CostSource::kNsys);
}

TEST_F(RunUnder, AModelOfAnotherGpuStaysAsItWas) {
  tools_.nsys(recorded("thermoe", "Other GPU"));
  const std::string before = testing::sound_model().dump();
  request_.cost_model = folder_.write("model.json", before);
  EXPECT_THAT(failure<UsageError>(), HasSubstr("recorded on Other GPU"));
  EXPECT_EQ(bytes_of(*request_.cost_model), before);
}

TEST_F(RunUnder, AModelThatCannotBeReadIsRefusedBeforeAnythingRuns) {
  tools_.nsys(recorded());
  request_.cost_model = folder_ / "none.json";
  EXPECT_THAT(failure<FormatError>(), HasSubstr("none.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/nsys-1.nsys-rep"));
}

TEST_F(RunUnder, TheExitCodeOfAChildThatFailsIsPassedOnAndNothingMerged) {
  tools_.nsys(recorded());
  const std::string before = testing::sound_model().dump();
  request_.cost_model = folder_.write("model.json", before);
  request_.child = {"/bin/sh", "-c", "exit 7"};
  const UnderResult result = run();
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_FALSE(result.profile);
  EXPECT_THAT(told_, Contains(HasSubstr("ended with exit code 7")));
  EXPECT_THAT(result.files, ElementsAre(folder_ / "out/nsys-1.nsys-rep"));
  EXPECT_EQ(bytes_of(*request_.cost_model), before);
}

TEST_F(RunUnder, ReportsOfEarlierRunsStay) {
  tools_.nsys(recorded());
  run();
  EXPECT_THAT(run().files, Contains(folder_ / "out/nsys-2.nsys-rep"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/nsys-1.nsys-rep"));
}

TEST_F(RunUnder, AToolThatIsNotThereComesWithWhereToGetIt) {
  tools_.places.root = folder_ / "root";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("source): `sudo apt install nsight-systems-cli`."));
  request_.profiler = Profiler::kNcu;
  EXPECT_THAT(failure<UsageError>(), HasSubstr("https://developer.nvidia.com/nsight-compute"));
  EXPECT_THAT(failure<UsageError>(), HasSubstr("--ncu-path"));
}

TEST_F(RunUnder, AToolThatIsNamedIsTaken) {
  std::filesystem::rename(tools_.nsys(recorded()), folder_ / "mine");
  tools_.places.root = folder_ / "root";
  request_.tool = folder_ / "mine";
  EXPECT_TRUE(run().profile);
  request_.tool = folder_ / "absent";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("--nsys-path " + *request_.tool));
}

TEST_F(RunUnder, AnNsysWithoutSqliteIsRefusedBeforeTheChildRuns) {
  tools_.program("nsys", "echo version 2019.3");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("cannot export to SQLite"));
  EXPECT_EQ(printed_, "");
}

TEST_F(RunUnder, AnNsysWithoutItsImporterIsNamed) {
  tools_.nsys(recorded(), "echo raw > \"$out.qdstrm\"; exit $code");
  const std::string message = failure<UsageError>();
  EXPECT_THAT(message, HasSubstr("importer is missing"));
  EXPECT_THAT(message, HasSubstr("nsys-1.qdstrm"));
}

TEST_F(RunUnder, AnNsysThatFailsIsSaidWithItsLastWords) {
  tools_.nsys(recorded(), "echo 'first'; echo 'the daemon vanished' >&2; exit 1");
  EXPECT_THAT(failure<Error>(), HasSubstr("left no " + request_.folder));
  EXPECT_THAT(failure<Error>(), HasSubstr("its last words: the daemon vanished"));
}

TEST_F(RunUnder, AnOptionThatAnOldNsysDoesNotKnowIsSaid) {
  tools_.nsys(recorded(), "echo \"unrecognised option '--nvtx-domain-include'\" >&2; exit 1");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("too old"));
}

TEST_F(RunUnder, AFullDiskIsNamedThoughTheExportEndsWell) {
  tools_.set_export(": > \"$out\"; echo 'database or disk is full' >&2; exit 0");
  tools_.nsys(recorded());
  const std::string before = testing::sound_model().dump();
  request_.cost_model = folder_.write("model.json", before);
  const std::string message = failure<WriteError>();
  EXPECT_THAT(message, HasSubstr("out/nsys-1.sqlite: no space left"));
  EXPECT_EQ(bytes_of(*request_.cost_model), before);
}

TEST_F(RunUnder, AnExportThatFailsIsSaidWithItsWords) {
  tools_.set_export("echo 'no such report' >&2; exit 3");
  tools_.nsys(recorded());
  EXPECT_THAT(failure<Error>(), HasSubstr("(exit code 3): no such report"));
}

TEST_F(RunUnder, RangesOfOtherDomainsAreNotTakenForOps) {
  tools_.nsys(recorded("elsewhere"));
  EXPECT_THAT(failure<Error>(), HasSubstr("no NVTX range of the domain thermoe"));
}

TEST_F(RunUnder, RealExportsOfOtherProgramsHaveNoOpsOfOurs) {
  const std::string fixtures = std::string(THERMOE_SOURCE_DIR) + "/../shared/fixtures/nsys/";
  if (!std::filesystem::exists(fixtures)) GTEST_SKIP() << fixtures << " is not there";
  for (const char* name : {"nsys2025.3.1_t4_nvtx_textid.sqlite", "nsys2024.5.1_a100_no_nvtx.sqlite",
                           "nsys2026.2.1_h100_orphans.sqlite"}) {
    tools_.nsys(fixtures + name);
    EXPECT_THAT(failure<Error>(), HasSubstr("no NVTX range of the domain thermoe")) << name;
  }
}

TEST_F(RunUnder, AFolderThatCannotBeWrittenIsRefusedAsNsysWouldWaitForEver) {
  tools_.nsys(recorded());
  request_.folder = folder_.write("a_file", "") + "/below";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("cannot be written"));
  request_.folder = folder_ / "100%q{HOME}";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("has a %"));
}

TEST_F(RunUnder, PowerThatIsRecordedMeanwhileIsMergedWithTheKernels) {
  const std::string path = recorded();
  ExportBuilder(path).exec(
      "CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER);"
      "INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1764212345000000000)");
  tools_.nsys(path);
  const std::string rows =
      folder_.write("rows",
                    "t_s,utc,simulated,gpu,name,uuid,power_w,power_instant_w,temp_gpu_c\n"
                    "7.0,2025-11-27T02:59:04.900Z,0,0,Test GPU,GPU-5c9a,,400,50\n"
                    "7.2,2025-11-27T02:59:05.100Z,0,0,Test GPU,GPU-5c9a,,400,50\n");
  const std::string ended = folder_ / "ended";
  request_.recorder = {tools_.program("recorder", "trap 'echo yes > " + ended +
                                                      "; kill $!; exit 0' TERM\ncat " + rows +
                                                      "\nsleep 600 & wait\n")};
  // The child works until there are rows, as it would for seconds.
  const std::string samples = request_.folder + "/nsys-1.samples.csv";
  request_.child = {"/bin/sh", "-c",
                    "i=0; while [ ! -s " + samples +
                        " ] && [ $i -lt 600 ]; do sleep 0.1; "
                        "i=$((i + 1)); done"};
  const UnderResult result = run();
  ASSERT_TRUE(result.profile);
  const KernelRecord& kernel = result.profile->kernels.front();
  ASSERT_TRUE(kernel.mean_power && kernel.mean_temperature);
  EXPECT_NEAR(kernel.mean_power->value, 400.0, 1e-9);
  EXPECT_NEAR(kernel.mean_temperature->value, 50.0, 1e-9);
  EXPECT_THAT(result.files, Contains(samples));
  EXPECT_EQ(bytes_of(ended), "yes\n");
}

TEST_F(RunUnder, ARecorderThatRecordsNothingLeavesPowerAbsent) {
  request_.recorder = {tools_.program("recorder", "echo t_s,utc,power_w; exit 1")};
  tools_.nsys(recorded());
  const UnderResult result = run();
  ASSERT_TRUE(result.profile);
  EXPECT_EQ(result.profile->kernels.front().mean_power, std::nullopt);
}

TEST_F(RunUnder, ASignalEndsToolAndChildAndLeavesWhatThereIs) {
  tools_.nsys(recorded());
  const std::string started = folder_ / "started";
  request_.child = {"/bin/sh", "-c", "echo $$ > " + started + "; exec sleep 600"};
  SignalQueue signals;  // blocks the signal in the thread below, too
  const std::jthread sender([&](const std::stop_token& ended) {
    while (!ended.stop_requested() && bytes_of(started).empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ::kill(::getpid(), SIGTERM);
  });
  const UnderResult result = run_under(request_, tools_.places, signals, tell_);
  EXPECT_EQ(result.exit_code, 128 + SIGTERM);
  EXPECT_FALSE(result.profile);
  EXPECT_THAT(result.files, ElementsAre(folder_ / "out/nsys-1.nsys-rep"));
  EXPECT_NE(::kill(std::stoi(bytes_of(started)), 0), 0) << "the child still runs";
}

}  // namespace
}  // namespace thermoe
