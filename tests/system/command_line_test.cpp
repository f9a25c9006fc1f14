// SPDX-License-Identifier: Apache-2.0
// What a user meets: exit codes, messages, and what is left behind when a run ends early.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/json_file.h"
#include "experiment_run.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

TEST(CommandLine, HelpNamesTheCommandsAndExitCodes) {
  const ProcessResult result = thermoe_process({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* word :
       {"run", "cost", "price", "logits", "train", "eval", "version", "Exit codes"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
  EXPECT_EQ(thermoe_process({"run", "--help"}).exit_code, 0);
}

TEST(CommandLine, VersionIsPrinted) {
  EXPECT_THAT(thermoe_process({"version"}).out, testing::MatchesRegex("thermoe [0-9.]+\n"));
  EXPECT_EQ(thermoe_process({"--version"}).exit_code, 0);
}

TEST(CommandLine, BadInputExitsWithTwoAndOneLine) {
  const std::vector<std::vector<std::string>> bad = {
      {},
      {"fly"},
      {"run"},
      {"run", "no/such/file.json"},
      {"run", "experiments/demo.json", "--power-cap", "-3"},
      {"run", "experiments/demo.json", "--strategy", "KERNEL_AWARE"},
      {"run", "experiments/serving_steady.json", "--price", "0.1"},
      {"run", "experiments/demo.json", "--seeed", "3"},
      {"cost", "show", "data/h100/thermal_trace.csv"},
      {"price", "no/such/logits.safetensors"},
      {"price", "model/thermoe-e128.safetensors"},
      {"logits"},
      {"logits", "--out", "x", "--model", "data/h100/plant.json"}};
  for (const auto& arguments : bad) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProcessResult result = thermoe_process(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, testing::StartsWith("thermoe: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST(CommandLine, WithoutACudaDeviceOrItsKernelsItIsToldAndExitsWithTwo) {
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);  // also where there is one
  const std::vector<std::vector<std::string>> asking = {
      {"eval", "--device", "cuda", "--no-domains"},
      {"eval", "--kernels", "cuda", "--no-domains"},
      {"run", "experiments/demo.json", "--kernels", "cuda"},
      {"logits", "--out", "x", "--kernels", "cuda"}};
  for (const auto& arguments : asking) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProcessResult result = thermoe_process(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, testing::MatchesRegex("thermoe: .*cuda: .*(cuda-release|no CUDA).*\n"));
    EXPECT_EQ(result.out, "");
  }
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  const ProcessResult triton = thermoe_process({"eval", "--kernels", "triton"});
  EXPECT_EQ(triton.exit_code, 2);
  EXPECT_THAT(triton.err, HasSubstr("use cuda or cpu"));
}

TEST(CommandLine, AMistypedStrategyIsCorrected) {
  EXPECT_THAT(thermoe_process({"run", "experiments/demo.json", "--strategy", "REDUCEDK"}).err,
              HasSubstr("did you mean REDUCED_K?"));
}

TEST(CommandLine, AStrategyGivenTwiceIsRefused) {
  const ProcessResult result = thermoe_process(
      {"run", "experiments/demo.json", "--strategy", "REDUCED_K", "--strategy", "REDUCED_K"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("twice"));
}

TEST(CommandLine, EvalRefusesALengthBeyondTheContext) {
  const ProcessResult result = thermoe_process({"eval", "--length", "5000"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--length 5000"));
}

TEST(CommandLine, AFileThatCannotBeWrittenIsToldBeforeTheWork) {
  const std::string out = testing::TempDir() + "/no_such_folder/file";
  for (const char* command : {"eval", "logits"}) {
    const ProcessResult result = thermoe_process({command, "--out", out, "--model", "none"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--out " + out + ": there is no folder"));
  }
}

TEST(CommandLine, EvalRefusesADenominatorGivenTwice) {
  const ProcessResult result = thermoe_process({"eval", "--denominator", "picked,picked"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--denominator picked: is given twice"));
}

TEST(CommandLine, TheShippedModelsLogitsArePricedUnderACap) {
  const std::string file = testing::TempDir() + "/command_line_logits.safetensors";
  const ProcessResult sampled = thermoe_process({"logits", "--out", file, "--samples", "3"});
  ASSERT_EQ(sampled.exit_code, 0) << sampled.err;
  EXPECT_THAT(sampled.out, HasSubstr("3 samples of 4 layers, 16 tokens, 128 experts; top-8"));
  const ProcessResult priced =
      thermoe_process({"price", file, "--layers", "48", "--power-cap", "350", "--json"});
  ASSERT_EQ(priced.exit_code, 0) << priced.err;
  const nlohmann::json json = parse_json(priced.out, "stdout");
  const double plain = json["pricing"].front()["power_w"];
  EXPECT_GT(plain, 350.0);
  EXPECT_EQ(json["chosen"]["reached"], true);
  EXPECT_LE(json["chosen"]["power_w"].get<double>(), 350.0);
  EXPECT_GT(json["chosen"]["power_w"].get<double>(), 340.0);
  EXPECT_EQ(json["fewer_experts"].size(), 8U);
  EXPECT_THAT(thermoe_process({"price", file, "--layers", "48"}).out, HasSubstr("not measured"));
}

/// Exit code of `thermoe` as the shell runs it, which reports a signal as 128 and its number.
int exit_code_in_a_shell(const std::string& words) {
  const int status =
      std::system(("cd " THERMOE_SOURCE_DIR " && " THERMOE_BINARY " " + words).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(CommandLine, AMessageThatCannotBeWrittenChangesNoExitCode) {
  for (const char* nowhere : {" 2>/dev/full", " 2>&-", " >&- 2>&-", " <&- >&- 2>&-"}) {
    SCOPED_TRACE(nowhere);
    EXPECT_EQ(exit_code_in_a_shell(std::string("price x --power-cap nan") + nowhere), 2);
    EXPECT_EQ(exit_code_in_a_shell(std::string("run no/such/file.json") + nowhere), 2);
  }
  EXPECT_EQ(exit_code_in_a_shell("version >&- 2>&-"), 1) << "standard output cannot be written";
  EXPECT_EQ(exit_code_in_a_shell("version >/dev/full 2>/dev/full"), 1);
}

class CommandLineRuns : public ExperimentRun {
 protected:
  long lines(const std::string& file) const {
    std::ifstream in(folder() + "/" + file);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  }
};

TEST_F(CommandLineRuns, SeveralStrategiesMayBeNamed) {
  complete(short_demo(), {"--strategy", "BASELINE", "--strategy", "REDUCED_K"});
  EXPECT_EQ(read_json_file(folder() + "/summary.json")["strategies"].size(), 2U);
}

TEST_F(CommandLineRuns, WhatDoesNotFitTheModelIsNamedAndLeavesNothing) {
  for (const auto& [change, key] :
       {std::pair{R"({"text": {"context": 2048}})", "/text/context"},
        std::pair{R"({"control": {"k_min": 9}})", "/control/k_min"},
        std::pair{R"({"control": {"bias_clamp": 0}})", "/control/bias_clamp"}}) {
    SCOPED_TRACE(change);
    nlohmann::json experiment = short_demo();
    experiment.merge_patch(parse_json(change, "change"));
    const ProcessResult result = run(experiment);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(key));
    EXPECT_FALSE(std::filesystem::exists(folder()));
  }
}

TEST_F(CommandLineRuns, ANumberThatIsNoneIsNamedByItsFlagAndLeavesNothing) {
  for (const auto& [flag, value] : {std::pair{"--power-cap", "nan"}, std::pair{"--seed", "010"}}) {
    const ProcessResult result = run(short_demo(), {flag, value});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, testing::AllOf(HasSubstr(flag), HasSubstr(value)));
    EXPECT_FALSE(std::filesystem::exists(folder()));
  }
}

TEST_F(CommandLineRuns, AnExperimentWhoseNameIsNoUtf8Runs) {
  const std::string file = testing::TempDir() + "/\xe9xp.json";
  nlohmann::json experiment = short_demo();
  std::ofstream(file) << experiment.dump(1);
  const ProcessResult result =
      thermoe_process({"run", file, "--out", folder(), "--strategy", "BASELINE", "--quick"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(read_json_file(folder() + "/config.json")["experiment_file"].get<std::string>(),
              HasSubstr("\xEF\xBF\xBDxp.json"));
  std::filesystem::remove(file);
}

TEST_F(CommandLineRuns, AnUnknownFieldIsNamedWithTheNearest) {
  nlohmann::json experiment = short_demo();
  experiment["duraton_s"] = 3;
  const ProcessResult result = run(experiment);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err,
              HasSubstr("/duraton_s: is not a known field; did you mean \"duration_s\"?"));
  EXPECT_FALSE(std::filesystem::exists(folder())) << "bad input leaves nothing behind";
}

TEST_F(CommandLineRuns, MissingFilesAreNamedByFieldAndLeaveNothingBehind) {
  for (const char* change :
       {R"({"model": "none.safetensors"})", R"({"text": {"file": "none.bin"}})",
        R"({"cost_model": "none.json"})", R"({"plant": {"file": "none.json"}})"}) {
    nlohmann::json experiment = short_demo();
    experiment.merge_patch(parse_json(change, ""));
    const ProcessResult result = run(experiment);
    EXPECT_EQ(result.exit_code, 2) << change;
    EXPECT_THAT(result.err, HasSubstr("\"none."));
    EXPECT_FALSE(std::filesystem::exists(folder()));
  }
}

TEST_F(CommandLineRuns, ATruncatedCheckpointIsRefused) {
  nlohmann::json experiment = short_demo();
  const std::string broken = testing::TempDir() + "/broken.safetensors";
  std::ifstream in(std::string(THERMOE_SOURCE_DIR) + "/model/thermoe-e128.safetensors",
                   std::ios::binary);
  std::string bytes(100000, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  std::ofstream(broken, std::ios::binary) << bytes;
  experiment["model"] = broken;
  const ProcessResult result = run(experiment);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("broken.safetensors"));
}

TEST_F(CommandLineRuns, JsonPrintsTheSummaryThatWasWritten) {
  const ProcessResult result = run(short_demo(), {"--json", "--strategy", "BASELINE"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout"), read_json_file(folder() + "/summary.json"));
  const auto baseline = strategy("BASELINE");
  EXPECT_GT(baseline["bits_per_byte"].get<double>(), 0.5);
  EXPECT_LT(baseline["bits_per_byte"].get<double>(), 3.0);
  EXPECT_TRUE(baseline["peak_memory_bytes"].is_number());
}

TEST_F(CommandLineRuns, ProgressThatCannotBeWrittenLosesNoRun) {
  EXPECT_EQ(
      exit_code_in_a_shell("run experiments/demo.json --quick --strategy BASELINE --json --out " +
                           folder() + " >/dev/null 2>/dev/full"),
      0);
  EXPECT_TRUE(std::filesystem::exists(folder() + "/summary.json"));
}

TEST_F(CommandLineRuns, AFolderInUseIsRefusedUnlessForced) {
  complete(short_demo(), {"--strategy", "BASELINE"});
  const ProcessResult again =
      thermoe_process({"run", "experiments/demo.json", "--quick", "--out", folder()});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("--force"));
}

TEST_F(CommandLineRuns, CtrlCLeavesReadableFilesAndNoSummary) {
  const ProcessResult result = end_early(SIGINT);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("thermoe: interrupted: "));
  EXPECT_GT(lines("metrics.csv"), 20);
  EXPECT_EQ(column("BASELINE", "power_true_w").size(),
            static_cast<std::size_t>(lines("metrics.csv") - 1))
      << "every row is whole";
  EXPECT_FALSE(std::filesystem::exists(folder() + "/summary.json"));
}

TEST_F(CommandLineRuns, AKilledRunLeavesReadableFilesAndNoSummary) {
  const ProcessResult result = end_early(SIGKILL);
  EXPECT_EQ(result.exit_code, -SIGKILL);
  EXPECT_GT(lines("metrics.csv"), 20);
  EXPECT_EQ(column("BASELINE", "power_true_w").size(),
            static_cast<std::size_t>(lines("metrics.csv") - 1));
  EXPECT_FALSE(std::filesystem::exists(folder() + "/summary.json"));
  EXPECT_TRUE(std::filesystem::exists(folder() + "/config.json"));
}

TEST_F(CommandLineRuns, AFullDiskEndsTheRunNamingTheFile) {
  const ProcessResult result = run(demo(), {}, {.file_size_limit = 20000});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("metrics.csv: cannot be written"));
  EXPECT_EQ(column("BASELINE", "power_true_w").size(),
            static_cast<std::size_t>(lines("metrics.csv") - 1));
  EXPECT_FALSE(std::filesystem::exists(folder() + "/summary.json"));
}

}  // namespace
}  // namespace thermoe
