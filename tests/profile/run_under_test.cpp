// SPDX-License-Identifier: Apache-2.0
#include "profile/under/run_under.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/errors.h"
#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"
#include "export_builder.h"
#include "scratch_file.h"
#include "stand_in_tools.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::int64_t kThread = ExportBuilder::kProcess + 1;
constexpr const char* kLinear = "linear [1536, 2048] bf16 tokens 4";

class RunUnder : public ::testing::Test {
 protected:
  RunUnder() {
    request_.folder = folder_ / "out";
    request_.child = {"/bin/sh", "-c", "echo \"op done\"; echo trouble >&2"};
  }

  /// An export with three launches of one op within ranges of a domain.
  std::string recorded(const std::string& domain = "thermoe", const std::string& gpu = "Test GPU") {
    const std::string path = folder_ / "recorded.sqlite";
    ExportBuilder build(path);
    build.with_all().string(1, "k").string(2, "cudaLaunchKernel").domain(1, domain);
    build.exec(fmt::format("UPDATE TARGET_INFO_GPU SET name='{}'", gpu));
    for (int i = 0; i < 3; ++i) {
      const std::int64_t at = 100'000 * (i + 1);
      build.range(
          {.start = at, .end = at + 5000, .text = fmt::format("'{}'", kLinear), .domain = 1});
      build.call({.start = at + 100, .end = at + 200, .correlation = i + 1, .thread = kThread});
      build.kernel({.start = at + 300, .end = at + 12'300, .correlation = i + 1});
    }
    return path;
  }
  std::string raw_page() {
    return folder_.write(
        "raw.csv",
        "\"ID\",\"Process ID\",\"Kernel Name\",\"Block Size\",\"Grid Size\","
        "\"thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg\","
        "\"gpu__time_duration.sum\",\"launch__registers_per_thread\"\n"
        "\"\",\"\",\"\",\"\",\"\",\"\",\"ns\",\"register/thread\"\n"
        "\"0\",\"7\",\"k\",\"(256, 1, 1)\",\"(132, 1, 1)\","
        "\"1  \"\"thermoe:linear [1536, 2048] bf16 tokens 4:none:none:none:none:none:none\"\"\","
        "\"2400\",\"32\"\n");
  }

  /// Runs it with what parent, tool and child print kept in `printed_`.
  UnderResult run() {
    SignalQueue signals;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    std::exception_ptr error;
    UnderResult result;
    try {
      result = run_under(request_, tools_.places, signals, tell_);
    } catch (...) {
      error = std::current_exception();
    }
    printed_ = ::testing::internal::GetCapturedStdout();
    printed_errors_ = ::testing::internal::GetCapturedStderr();
    if (error) std::rethrow_exception(error);
    return result;
  }
  /// The message of the error that a run ends with, which is of that kind.
  template <class Kind>
  std::string failure() {
    try {
      run();
    } catch (const Error& error) {
      const bool usage = dynamic_cast<const UsageError*>(&error) != nullptr;
      EXPECT_NE(dynamic_cast<const Kind*>(&error), nullptr) << error.what();
      EXPECT_EQ((std::is_base_of_v<UsageError, Kind>), usage) << error.what();
      return error.what();
    }
    return "none";
  }

  ScratchFolder folder_{};
  StandInTools tools_{folder_};
  UnderRequest request_{};
  std::vector<std::string> told_{};
  Tell tell_ = [this](const std::string& text) { told_.push_back(text); };
  std::string printed_{}, printed_errors_{};
};

class RunUnderNcu : public RunUnder {
 protected:
  RunUnderNcu() { request_.profiler = Profiler::kNcu; }
};

TEST_F(RunUnder, TheCommandOfNsysCanBeSeenBeforehand) {
  tools_.nsys(recorded());
  request_.folder = "/o'clock";
  request_.child = {"/bin/thermoe", "profile", "--child"};
  EXPECT_EQ(
      to_shell(plan_under(request_, tools_.places, tell_)),
      fmt::format("{0}/nsys profile --trace=cuda,nvtx --nvtx-domain-include=thermoe "
                  "--cuda-graph-trace=node --sample=none --cpuctxsw=none --force-overwrite=true "
                  "'--output=/o'\\''clock/nsys-1' --gpu-metrics-devices=all "
                  "--gpu-metrics-frequency=100 /bin/thermoe profile --child\n"
                  "{0}/nsys export --type=sqlite --quiet=true --force-overwrite=true "
                  "'--output=/o'\\''clock/nsys-1.sqlite' '/o'\\''clock/nsys-1.nsys-rep'\n",
                  folder_ / "bin"));
  EXPECT_THAT(told_, ElementsAre(HasSubstr("Nsight Systems 2024.5.1.113 (")));
}

TEST_F(RunUnderNcu, TheCommandOfNcuCanBeSeenBeforehand) {
  tools_.ncu("none");
  request_.folder = "o";
  request_.child = {"/bin/thermoe", "profile", "--child"};
  request_.replay = NcuReplay::kApplication;
  const std::string ncu = folder_ / "bin/ncu";
  EXPECT_EQ(to_shell(plan_under(request_, tools_.places, tell_)),
            fmt::format(
                "{0} --nvtx --nvtx-include 'regex:thermoe@.*/' --replay-mode application "
                "--target-processes all --clock-control none --force-overwrite --export o/ncu-1 "
                "/bin/thermoe profile --child\n"
                "env LC_ALL=C {0} --import o/ncu-1.ncu-rep --csv --page raw --print-units base > "
                "o/ncu-1-raw.csv\n"
                "env LC_ALL=C {0} --import o/ncu-1.ncu-rep --csv --page details --print-units base "
                "> o/ncu-1-details.csv\n",
                ncu));
}

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

TEST_F(RunUnder, CountersAreSampledOnlyWhereNsysMay) {
  const std::string path = tools_.program(
      "nsys",
      "case \"$1 $2\" in --version*) echo version 2022.4 ;; *--help) echo sqlite ;;\n"
      "*devices=help) echo \"unrecognised option '--gpu-metrics-devices=help'\"; exit 1 ;;\n"
      "*) echo 'Possible --gpu-metrics-device values are:'; cat " +
          (folder_ / "answer") + " ;; esac");
  const auto words = [&](const std::string& answer) {
    folder_.write("answer", answer);
    told_.clear();
    return plan_under(request_, tools_.places, tell_).profile.words;
  };
  EXPECT_THAT(words("\t0: H100\n\tall: Select all supported GPUs\n"),
              Contains("--gpu-metrics-device=all"));
  EXPECT_THAT(told_, ElementsAre(HasSubstr("2022.4")));
  for (const std::string why : {"NVIDIA GPUs not found, feature is not available",
                                "Insufficient privilege, see https://developer.nvidia.com/"
                                "ERR_NVGPUCTRPERM."}) {
    EXPECT_THAT(words("\t" + why + "\n"), Not(Contains(HasSubstr("gpu-metrics"))));
    EXPECT_THAT(told_, Contains(HasSubstr("samples no GPU counters: " + why)));
  }
  request_.gpu_metrics = false;
  EXPECT_THAT(words("\tall: Select all supported GPUs\n"), Not(Contains(HasSubstr("gpu-metrics"))));
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

TEST_F(RunUnderNcu, KernelsGetTheOpsOfTheirRangesAndBothPagesAreKept) {
  tools_.ncu(raw_page());
  const UnderResult result = run();
  ASSERT_TRUE(result.profile);
  EXPECT_EQ(result.profile->tool, "ncu");
  ASSERT_EQ(result.profile->kernels.size(), 1U);
  EXPECT_EQ(result.profile->kernels.front().op, kLinear);
  EXPECT_EQ(result.profile->kernels.front().total_ns, 2400);
  EXPECT_THAT(result.files,
              ElementsAre(folder_ / "out/ncu-1.ncu-rep", folder_ / "out/ncu-1-raw.csv",
                          folder_ / "out/ncu-1-details.csv", folder_ / "out/ncu-1.json"));
  EXPECT_THAT(printed_, Not(HasSubstr("Process ID")));
}

TEST_F(RunUnderNcu, ARealPageWithoutRangesOfOursHasNoOps) {
  const std::string page =
      std::string(THERMOE_SOURCE_DIR) + "/../shared/fixtures/nsys/ncu_raw_h100.csv";
  if (!std::filesystem::exists(page)) GTEST_SKIP() << page << " is not there";
  tools_.ncu(page);
  EXPECT_THAT(failure<Error>(), HasSubstr("no NVTX range of the domain thermoe"));
}

TEST_F(RunUnderNcu, MissingPermissionForCountersComesWithWhoMayGiveIt) {
  tools_.ncu(
      raw_page(),
      "echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA "
      "GPU Performance Counters on the target device 0.' >&2; exit 1");
  const std::string message = failure<UsageError>();
  EXPECT_THAT(message, HasSubstr("ERR_NVGPUCTRPERM"));
  EXPECT_THAT(message, HasSubstr("NVreg_RestrictProfilingToAdminUsers=0"));
  EXPECT_THAT(message, HasSubstr("`docker run --gpus all --cap-add SYS_ADMIN ...`; or run"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

TEST_F(RunUnderNcu, AFaultIsFoundBeforeAndAfterAFlood) {
  for (const char* order : {"echo \"$error\"; yes line | head -c 1000000",
                            "yes line | head -c 1000000; echo \"$error\""}) {
    tools_.ncu(raw_page(), fmt::format("error='ERR_NVGPUCTRPERM'; {}; exit 1", order));
    EXPECT_THAT(failure<UsageError>(), HasSubstr("ERR_NVGPUCTRPERM")) << order;
  }
}

TEST_F(RunUnderNcu, AnothersHoldOnTheCountersAndAMissingDriverAreTheUsersToMend) {
  tools_.ncu(raw_page(),
             "echo 'Profiling failed because a driver resource was unavailable.'; exit 1");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("dcgmi profile --pause"));
  tools_.ncu(raw_page(), "echo 'Nsight Compute failed to connect to the CUDA driver'; exit 1");
  EXPECT_THAT(failure<UsageError>(), HasSubstr("no CUDA driver"));
}

TEST_F(RunUnderNcu, ASandboxThatHidesTheDriverIsNot) {
  tools_.ncu(raw_page(), "echo 'Failed to initialize the profiler: LibraryNotLoaded'; exit 1");
  EXPECT_THAT(failure<Error>(), HasSubstr("sandbox"));
}

TEST_F(RunUnderNcu, NoKernelInOurRangesIsSaid) {
  tools_.ncu(raw_page(), "echo '==WARNING== No kernels were profiled.'; exit 0");
  EXPECT_THAT(failure<Error>(), HasSubstr("no kernel within an NVTX range of the domain thermoe"));
}

TEST_F(RunUnderNcu, TheChildsExitCodeIsTheOneThatNcuSays) {
  tools_.ncu(raw_page());
  request_.child = {"/bin/sh", "-c", "exit 5"};
  EXPECT_EQ(run().exit_code, 5);
}

TEST_F(RunUnderNcu, FillsNoCostModel) {
  request_.cost_model = "model.json";
  EXPECT_THAT(failure<UsageError>(), HasSubstr("no latencies"));
}

TEST(ChildArguments, AreThoseWithoutTheProfiler) {
  EXPECT_THAT(
      child_arguments({"profile", "--with", "nsys", "--model", "a", "--nsys-path=/x/nsys",
                       "--no-gpu-metrics", "--ncu-path", "/y", "--replay", "kernel", "--dry-run",
                       "--budget", "8m", "--out=here", "--cost-model", "m.json", "--energy"}),
      ElementsAre("profile", "--model", "a", "--budget", "8m", "--child"));
}

}  // namespace
}  // namespace thermoe
