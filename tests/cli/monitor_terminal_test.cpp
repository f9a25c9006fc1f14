// SPDX-License-Identifier: Apache-2.0
// The command itself, on a terminal and on a pipe, over a fake NVML.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/errors.h"
#include "core/terminal_text.h"
#include "fake_nvml/scripted_nvml.h"
#include "telemetry/telemetry_trace.h"
#include "terminal_process.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kEnter = "\x1b[?1049h";
constexpr const char* kLeave = "\x1b[?1049l";
constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlZ = "\x1a";

std::vector<std::string> live(const ScriptedNvml& nvml) {
  return {MONITOR_PROGRAM,  "monitor",      "--source", "nvml",
          "--nvml-library", nvml.library(), "--period", "50"};
}

std::string piped(const std::string& arguments) {
  return std::string(MONITOR_PROGRAM) + " monitor " + arguments;
}

class MonitorOnATerminal : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!pseudo_terminals_exist()) GTEST_SKIP() << "no pseudo-terminal here: is /dev/pts mounted?";
  }

  ScriptedNvml nvml_;
};

TEST_F(MonitorOnATerminal, ShowsTheGpuUntilQ) {
  TerminalProcess monitor(live(nvml_), 80, 24);
  ASSERT_TRUE(monitor.shows(kEnter));
  ASSERT_TRUE(monitor.shows("Fake H100"));
  ASSERT_TRUE(monitor.shows("305.0 W"));
  ASSERT_TRUE(monitor.shows("clocks not limited"));
  EXPECT_FALSE(monitor.is_as_before());
  monitor.type("q");
  EXPECT_EQ(monitor.wait(), 0);
  EXPECT_TRUE(monitor.is_as_before());
  EXPECT_THAT(monitor.output(), ::testing::EndsWith(kLeave));
}

TEST_F(MonitorOnATerminal, CtrlCAndOtherSignalsGiveTheTerminalBack) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    TerminalProcess monitor(live(nvml_), 80, 24);
    ASSERT_TRUE(monitor.shows("Fake H100"));
    if (number == SIGINT) {
      monitor.type(kCtrlC);
    } else {
      monitor.signal(number);
    }
    EXPECT_EQ(monitor.wait(), 128 + number);
    EXPECT_TRUE(monitor.is_as_before());
    EXPECT_THAT(monitor.output(), ::testing::EndsWith(kLeave));
  }
}

TEST_F(MonitorOnATerminal, FollowsItsSize) {
  TerminalProcess monitor(live(nvml_), 120, 40);
  ASSERT_TRUE(monitor.shows("Fake H100"));
  for (const int columns : {40, 200, 20}) {
    monitor.resize(columns, 30);
    monitor.forget();
    ASSERT_TRUE(monitor.shows("\x1b[2J"));  // a frame of the new size begins
    ASSERT_TRUE(monitor.shows("\x1b[J"));
    ASSERT_TRUE(monitor.shows("\x1b[J"));
    for (const std::string& line : monitor.frame()) EXPECT_LE(display_width(line), columns) << line;
  }
  monitor.type("q");
  EXPECT_EQ(monitor.wait(), 0);
}

TEST_F(MonitorOnATerminal, CtrlZGivesTheTerminalBackUntilTheProgramGoesOn) {
  std::string command = "set -m; ";
  for (const std::string& word : live(nvml_)) command += word + " ";
  TerminalProcess shell({"sh", "-c", command + "; echo stopped; fg; echo ended $?"}, 80, 24);
  ASSERT_TRUE(shell.shows("Fake H100"));
  shell.type(kCtrlZ);
  ASSERT_TRUE(shell.shows(kLeave));
  ASSERT_TRUE(shell.shows("stopped"));
  ASSERT_TRUE(shell.shows(kEnter));
  ASSERT_TRUE(shell.shows("Fake H100"));
  shell.type("q");
  ASSERT_TRUE(shell.shows(kLeave));
  ASSERT_TRUE(shell.shows("ended 0"));
}

TEST_F(MonitorOnATerminal, ADriverThatHangsIsSaidAndDoesNotKeepCtrlCWaiting) {
  TerminalProcess monitor(live(nvml_), 80, 24);
  ASSERT_TRUE(monitor.shows("Fake H100"));
  nvml_.write("hang.nvmlDeviceGetTemperature = 1000");
  ASSERT_TRUE(monitor.shows("NVML has not answered for 2."));
  ASSERT_TRUE(monitor.shows("stale 2."));
  monitor.type(kCtrlC);
  EXPECT_EQ(monitor.wait(), 130);
  EXPECT_TRUE(monitor.is_as_before());
}

TEST_F(MonitorOnATerminal, ALostGpuIsSaidAndShownAgainWhenItComesBack) {
  TerminalProcess monitor(live(nvml_), 80, 24);
  ASSERT_TRUE(monitor.shows("305.0 W"));
  nvml_.write("gpu.state = lost");
  ASSERT_TRUE(monitor.shows("lost; reconnecting"));
  nvml_.write("gpu.power_instant = 123");
  monitor.forget();
  EXPECT_TRUE(monitor.shows("123.0 W"));
}

TEST_F(MonitorOnATerminal, WithoutAGpuItSaysWhatToDoAndKeepsTrying) {
  nvml_.write("init = driver_not_loaded");
  TerminalProcess monitor(live(nvml_), 400, 24);  // wide, so that sentences stay whole
  ASSERT_TRUE(monitor.shows("Remedy"));
  ASSERT_TRUE(monitor.shows("try --source simulated"));
  nvml_.write("");
  EXPECT_TRUE(monitor.shows("Fake H100"));
}

TEST_F(MonitorOnATerminal, ManyGpusScroll) {
  nvml_.write("gpus = 12");
  for (const int columns : {40, 100}) {
    TerminalProcess monitor(live(nvml_), columns, 8);
    ASSERT_TRUE(monitor.shows("GPU 5"));
    ASSERT_TRUE(monitor.shows("1–6 of 12 "));
    monitor.type("\x1b[B");
    ASSERT_TRUE(monitor.shows("2–7 of 12 "));
    monitor.type("\x1b[6~");
    ASSERT_TRUE(monitor.shows("GPU 11"));
    ASSERT_TRUE(monitor.shows("7–12 of 12 "));
    monitor.type("jjjj");
    monitor.forget();
    for (int frame = 0; frame < 3; ++frame) ASSERT_TRUE(monitor.shows("7–12 of 12 "));
    monitor.type("k");
    ASSERT_TRUE(monitor.shows("6–11 of 12 ")) << "what was too far is not to be undone";
    monitor.resize(columns, 20);
    ASSERT_TRUE(monitor.shows("GPU 11"));
    monitor.resize(columns, 8);
    ASSERT_TRUE(monitor.shows("1–6 of 12 "));
    monitor.type("q");
    EXPECT_EQ(monitor.wait(), 0);
    EXPECT_TRUE(monitor.is_as_before());
  }
}

TEST_F(MonitorOnATerminal, ChosenGpusAreShownAndAWrongChoiceGivesTheTerminalBack) {
  nvml_.write("gpus = 9");
  std::vector<std::string> words = live(nvml_);
  words.insert(words.end(), {"--gpu", "8,GPU-fake-3"});
  {
    TerminalProcess monitor(words, 40, 24);
    ASSERT_TRUE(monitor.shows("2 of 9 GPUs (--gpu)"));
    ASSERT_TRUE(monitor.shows("GPU 3"));
    ASSERT_TRUE(monitor.shows("GPU 8"));
    EXPECT_THAT(monitor.output(), Not(HasSubstr("GPU 0")));
  }
  words.back() = "9";
  TerminalProcess monitor(words, 100, 24);
  EXPECT_EQ(monitor.wait(), 2);
  EXPECT_TRUE(monitor.is_as_before());
  EXPECT_THAT(monitor.output(), HasSubstr("--gpu 9: there is no such GPU; choose from 0, 1, 2"));
}

TEST_F(MonitorOnATerminal, ColoursAndBlocksAppearOnlyWhereTheyAreWanted) {
  {
    TerminalProcess monitor(live(nvml_), 80, 24);
    ASSERT_TRUE(monitor.shows("clocks not limited"));
    EXPECT_THAT(monitor.output(), AllOf(HasSubstr("\x1b[32m"), HasSubstr("█")));
  }
  TerminalProcess plain(live(nvml_), 80, 24, {{"NO_COLOR", "1"}, {"LC_ALL", "C"}});
  ASSERT_TRUE(plain.shows("clocks not limited"));
  EXPECT_THAT(plain.output(), AllOf(Not(HasSubstr("\x1b[32m")), Not(HasSubstr("█"))));
  EXPECT_TRUE(std::ranges::all_of(plain.output(), [](char c) { return c > 0; }));
}

TEST_F(MonitorOnATerminal, ADumbTerminalGetsLines) {
  TerminalProcess monitor(live(nvml_), 80, 24, {{"TERM", "dumb"}});
  ASSERT_TRUE(monitor.shows("GPU 0  305 W of 700 W limit"));
  ASSERT_TRUE(monitor.shows("GPU 0  305 W of 700 W limit"));
  EXPECT_THAT(monitor.output(), Not(HasSubstr("\x1b")));
}

TEST(MonitorOnAPipe, AMessageThatCannotBeWrittenEndsNothing) {
  const std::string nothing_answers =
      "--once --duration 0.5 --csv --source nvml --nvml-library /nowhere/libnvidia-ml.so.1";
  EXPECT_EQ(run_piped(piped(nothing_answers) + " 2>/dev/full").exit_code, 1);
  EXPECT_EQ(run_piped(piped(nothing_answers) + " 2>&-").exit_code, 1);
  const ScriptedNvml nvml("gpus = 2\n");  // "1 of 2 GPUs" is told
  const PipedResult csv =
      run_piped(piped("--once --csv --gpu 1 --source nvml --nvml-library " + nvml.library()) +
                " 2>/dev/full");
  EXPECT_EQ(csv.exit_code, 0);
  EXPECT_EQ(parse_telemetry_trace(csv.out, "stdout").snapshots.size(), 1U);
}

TEST(MonitorOnAPipe, OneReadingAsTextCsvAndJson) {
  const ScriptedNvml nvml("gpus = 2\ngpu1.power_instant = not_supported\n");
  const std::string source = "--once --source nvml --nvml-library " + nvml.library();
  const PipedResult text = run_piped(piped(source));
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("GPU 0"), HasSubstr("GPU 1"), Not(HasSubstr("\x1b"))));

  const PipedResult csv = run_piped(piped(source + " --csv"));
  const auto rows = parse_telemetry_trace(csv.out, "stdout").snapshots;
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].gpus.at(0).power_instant.value, Watts(305));
  EXPECT_EQ(rows[0].gpus.at(1).power_instant.value, std::nullopt);
  EXPECT_EQ(rows[0].gpus.at(1).name, "Fake H100");

  const PipedResult json = run_piped(piped(source + " --json"));
  const auto line = nlohmann::json::parse(json.out);
  EXPECT_EQ(line.at("gpus").size(), 2U);
  EXPECT_EQ(line.at("gpus").at(0).at("power_w"), 300.0);
  EXPECT_TRUE(line.at("gpus").at(1).at("power_instant_w").is_null());
  EXPECT_EQ(line.at("simulated"), false);
}

TEST(MonitorOnAPipe, OnceWaitsForASourceThatComesAndEndsWithItsFirstReading) {
  const ScriptedNvml nvml("init = library_mismatch");
  std::ofstream(nvml.path() + ".next") << "";
  // An hour: the test would be killed before. The driver comes long after the first failed polls.
  const PipedResult result = run_piped(
      piped("--once --json --duration 3600 --source nvml --nvml-library ") + nvml.library() +
      " & sleep 1; mv " + nvml.path() + ".next " + nvml.path() + "; wait $!");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"power_w\":300.0"));
}

TEST(MonitorOnAPipe, NothingThatAnswersIsAFailureThatSaysWhy) {
  const PipedResult none = run_piped(
      piped("--once --duration 0.5 --source nvml --nvml-library /nowhere/libnvidia-ml.so.1"));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.out + none.err,
              AllOf(HasSubstr("/nowhere/libnvidia-ml.so.1"), HasSubstr("--source simulated"),
                    HasSubstr("nothing answered")));
}

TEST(MonitorOnAPipe, ChosenGpusKeepTheirIndexInEveryOutput) {
  const ScriptedNvml nvml("gpus = 10\n");
  const std::string source = "--once --source nvml --nvml-library " + nvml.library();
  const PipedResult csv = run_piped(piped(source + " --csv --gpu GPU-fake-7,2"));
  const auto rows = parse_telemetry_trace(csv.out, "stdout").snapshots;
  ASSERT_EQ(rows.size(), 1U) << csv.err;
  ASSERT_EQ(rows[0].gpus.size(), 2U);
  EXPECT_EQ(rows[0].gpus[0].index, 2U);
  EXPECT_EQ(rows[0].gpus[1].index, 7U);
  EXPECT_EQ(rows[0].gpus[1].uuid, "GPU-fake-7");
  EXPECT_EQ(csv.err, "thermoe: 2 of 10 GPUs (--gpu)\n");

  const PipedResult json = run_piped(piped(source + " --json --gpu 9"));
  const auto line = nlohmann::json::parse(json.out);
  ASSERT_EQ(line.at("gpus").size(), 1U);
  EXPECT_EQ(line.at("gpus").at(0).at("gpu"), 9);

  const PipedResult text = run_piped(piped(source + " --gpu 3"));
  EXPECT_THAT(text.out, AllOf(HasSubstr("1 of 10 GPUs (--gpu)"), HasSubstr("GPU 3"),
                              Not(HasSubstr("GPU 0"))));
}

TEST(MonitorOnAPipe, CudaVisibleDevicesChoosesUnlessAFlagDoes) {
  const ScriptedNvml nvml("gpus = 8\n");
  const auto with = [&](const std::string& visible, const std::string& flags) {
    return run_piped("CUDA_VISIBLE_DEVICES='" + visible + "' " +
                     piped("--once --source nvml --nvml-library " + nvml.library() + " " + flags));
  };
  EXPECT_THAT(with("1,GPU-fake-6", "").out,
              AllOf(HasSubstr("2 of 8 GPUs (CUDA_VISIBLE_DEVICES)"), HasSubstr("GPU 1  "),
                    HasSubstr("GPU 6  "), Not(HasSubstr("GPU 0  "))));
  EXPECT_THAT(with("1", "--gpu all").out,
              AllOf(HasSubstr("GPU 0  "), HasSubstr("GPU 7  "), Not(HasSubstr("of 8 GPUs"))));
  EXPECT_THAT(with("1", "--gpu 5").out,
              AllOf(HasSubstr("1 of 8 GPUs (--gpu)"), HasSubstr("GPU 5")));
  const PipedResult none = with("", "");
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_THAT(none.out, HasSubstr("0 of 8 GPUs (CUDA_VISIBLE_DEVICES); --gpu all shows all"));
  const PipedResult beyond = with("2,8", "--json");
  EXPECT_EQ(beyond.exit_code, 0);
  EXPECT_THAT(beyond.out, AllOf(HasSubstr("CUDA_VISIBLE_DEVICES 8: there is no such GPU"),
                                HasSubstr("6, 7; CUDA passes over it"), HasSubstr("\"gpu\":2")));
  EXPECT_THAT(with("MIG-4af1", "").out,
              AllOf(HasSubstr("names a MIG device"), HasSubstr("GPU 7  ")));
}

TEST(MonitorOnAPipe, AGpuThatIsNotThereIsBadInputThatSaysWhatThereIs) {
  const ScriptedNvml nvml("gpus = 2\n");
  for (const char* output : {"--once", "--csv", "--json", ""}) {
    const PipedResult result = run_piped(
        piped(std::string(output) + " --gpu 0,4 --source nvml --nvml-library " + nvml.library()));
    EXPECT_EQ(result.exit_code, 2) << output;
    EXPECT_EQ(result.err, "thermoe: --gpu 4: there is no such GPU; choose from 0, 1\n");
  }
}

TEST(MonitorOnAPipe, AGpuThatIsLostFromTheStartCanBeChosenAndComesUnderItsIndex) {
  const ScriptedNvml nvml("gpus = 3\ngpu1.state = lost\n");
  const PipedResult result =
      run_piped(piped("--once --gpu 1,2 --source nvml --nvml-library " + nvml.library()));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("2 of 3 GPUs"), HasSubstr("GPU 1  "),
                                HasSubstr("GPU 2  "), HasSubstr("no readings")));
}

TEST(MonitorOnAPipe, ARecordingPlaysBackAndKeepsSayingSimulated) {
  const std::string file = ::testing::TempDir() + "monitor_test." + std::to_string(::getpid());
  const std::string plant = " --plant " THERMOE_SOURCE_DIR "/data/h100/plant.json";
  const PipedResult recorded = run_piped(
      piped("--csv --source simulated --period 20 --duration 0.5" + plant + " > " + file));
  ASSERT_EQ(recorded.exit_code, 0) << recorded.err;
  const auto rows = read_telemetry_trace(file).snapshots;
  EXPECT_GT(rows.size(), 3U);
  EXPECT_TRUE(rows.front().simulated);

  const PipedResult played =
      run_piped(piped("--csv --period 20 --source replay " + file));  // ends with the recording
  EXPECT_EQ(played.exit_code, 0) << played.err;
  const auto again = parse_telemetry_trace(played.out, "stdout").snapshots;
  EXPECT_TRUE(again.front().simulated);
  EXPECT_EQ(again.front().gpus.at(0).name, rows.front().gpus.at(0).name);
  EXPECT_EQ(again.front().gpus.at(0).power_limit.value, Watts(700));
  std::filesystem::remove(file);
}

TEST(MonitorOnAPipe, LinesForPeopleHaveNoEscapeCodes) {
  const ScriptedNvml nvml;
  const PipedResult lines =
      run_piped(piped("--source nvml --period 50 --duration 1 --nvml-library " + nvml.library()));
  EXPECT_EQ(lines.exit_code, 0);
  EXPECT_THAT(lines.out,
              AllOf(HasSubstr("GPU 0  305 W of 700 W limit  die 50"), Not(HasSubstr("\x1b"))));
}

TEST(MonitorOnAPipe, AGpuThatVanishesIsToldOnStandardErrorAndInJson) {
  const ScriptedNvml nvml("gpu.state = lost");
  const PipedResult json = run_piped(
      piped("--json --source nvml --period 20 --duration 1 --nvml-library " + nvml.library()));
  EXPECT_THAT(json.err, HasSubstr("NVML"));
  std::istringstream lines(json.out);
  bool error = false;
  for (std::string line; std::getline(lines, line);) {
    error = error || nlohmann::json::parse(line).contains("error");
  }
  EXPECT_TRUE(error) << json.out;
}

TEST(MonitorOnAPipe, NumbersThatAreNoneAreRefusedBeforeAnyWork) {
  for (const char* flag : {"--duration", "--period"}) {
    for (const char* number :
         {"nan", "inf", "-1", "0", "010", "0x20", "1e", "20ms", "''", "1e300"}) {
      const PipedResult result =
          run_piped(piped(fmt::format("--csv --source host {} {}", flag, number)));
      EXPECT_EQ(result.exit_code, 2) << flag << " " << number;
      EXPECT_THAT(result.err, HasSubstr(flag));
      EXPECT_EQ(result.out, "");
    }
  }
}

TEST(MonitorOnAPipe, BadInputExitsWithTwoAndNamesIt) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"--source simulted", "did you mean simulated?"},
      {"--source replay", "needs a FILE"},
      {"--source nvml x.csv", "only replay takes a FILE"},
      {"--source replay /nowhere.csv", "/nowhere.csv"},
      {"--source simulated --plant /nowhere.json", "/nowhere.json"},
      {"--run /nowhere/at/all", "does not exist"},
      {"--gpu x", "\"x\" is no GPU"},
      {"--gpu MIG-4af1", "is a MIG device"},
      {"--gpu 1 --source host", "--source host has no GPUs"},
      {"--gpu 1 --run runs/x", "--run has no GPUs"},
      {"--run " THERMOE_SOURCE_DIR "/docs", "holds no run"},
      {"--run " THERMOE_SOURCE_DIR "/README.md", "is not a folder"},
      {"--csv --run .", "metrics.csv is that CSV already"}};
  for (const auto& [arguments, words] : bad) {
    const PipedResult result = run_piped(piped("--once " + arguments));
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_THAT(result.err, AllOf(StartsWith("thermoe: "), HasSubstr(words)));
    EXPECT_EQ(result.out, "");
  }
}

}  // namespace
}  // namespace thermoe
