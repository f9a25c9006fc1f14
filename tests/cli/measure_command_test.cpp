// SPDX-License-Identifier: Apache-2.0
// `thermoe measure` itself, over a fake NVML and the simulation.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "fake_nvml/scripted_nvml.h"
#include "one_page_server.h"
#include "terminal_process.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kCtrlC = "\x03";

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class MeasureCommand : public ::testing::Test {
 protected:
  MeasureCommand() { ::unsetenv("CUDA_VISIBLE_DEVICES"); }
  ~MeasureCommand() override { fs::remove_all(folder_); }

  std::string measure(const std::string& arguments) const {
    return std::string(MEASURE_PROGRAM) + " measure --source nvml --nvml-library " +
           nvml_.library() + " " + arguments;
  }
  static std::string simulated(const std::string& arguments) {
    return std::string(MEASURE_PROGRAM) + " measure --source simulated --plant " +
           THERMOE_SOURCE_DIR "/data/h100/plant.json " + arguments;
  }
  nlohmann::json json_of(const std::string& arguments) const {
    const fs::path out = folder_ / "out.json";
    run_piped(measure("--out " + out.string() + " " + arguments));
    return nlohmann::json::parse(content(out));
  }
  static fs::path fresh_folder() {
    std::string pattern = (fs::temp_directory_path() / "measure_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  const fs::path folder_ = fresh_folder();
  ScriptedNvml nvml_;
};

TEST_F(MeasureCommand, PassesTheCommandsExitCodeOn) {
  EXPECT_EQ(run_piped(measure("-- true")).exit_code, 0);
  EXPECT_EQ(run_piped(measure("-- sh -c 'exit 3'")).exit_code, 3);
  EXPECT_EQ(run_piped(measure("-- sh -c 'kill -TERM $$'")).exit_code, 128 + SIGTERM);
  EXPECT_EQ(run_piped(measure("-- sh -c 'kill -KILL $$'")).exit_code, 128 + SIGKILL);
}

TEST_F(MeasureCommand, ACommandThatCannotBeRunIsNamed) {
  const PipedResult missing = run_piped(measure("-- no-such-command"));
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_EQ(missing.err, "thermoe: measure: no-such-command: cannot be run: no such command\n");
  EXPECT_EQ(run_piped(measure("--quiet -- no-such-command")).err, missing.err);
}

TEST_F(MeasureCommand, WhatCannotBeRunSaysWhyAndLeavesNoJson) {
  const auto file = [&](const char* name, const char* text, fs::perms mode) {
    const fs::path path = folder_ / name;
    std::ofstream(path) << text;
    fs::permissions(path, mode);
    return path.string();
  };
  struct Case {
    std::string command;
    int exit_code;
    std::string why;
  };
  const Case cases[] = {
      {"no-such-command --json", 127, "no such command"},
      {folder_ / "nothing", 127, "no such command"},
      {file("orphan", "#!/no/such/interpreter\n", fs::perms::owner_all), 127,
       "the interpreter that its first line names is not there"},
      {file("text", "words\n", fs::perms::owner_read), 126,
       "permission denied; is it executable (chmod +x)?"},
      {file("bare", "echo x\n", fs::perms::owner_all), 126,
       "neither a program nor a script that begins like #!/bin/sh"},
      {folder_, 126, "is a folder"},
      {folder_ / "text" / "x", 126, "Not a directory"},
  };
  const fs::path out = folder_ / "out.json";
  for (const Case& c : cases) {
    const PipedResult result =
        run_piped(measure("--json --out " + out.string() + " -- " + c.command));
    EXPECT_EQ(result.exit_code, c.exit_code) << c.command;
    EXPECT_THAT(result.err, AllOf(StartsWith("thermoe: measure: "),
                                  HasSubstr(": cannot be run: " + c.why + "\n")));
    EXPECT_THAT(result.out, IsEmpty()) << c.command;
    EXPECT_FALSE(fs::exists(out)) << c.command;
  }
}

TEST_F(MeasureCommand, LeavesTheCommandsOutputAndInputAsTheyAre) {
  const PipedResult result = run_piped("printf 'a\\nb' | " + measure("-- sh -c 'cat; echo e >&2'"));
  EXPECT_EQ(result.out, "a\nb");
  EXPECT_THAT(result.err, AllOf(HasSubstr("e\n"), HasSubstr("Fake H100"), HasSubstr("counter")));
}

TEST_F(MeasureCommand, GivesTheCommandItsWordsAsTheyAre) {
  const PipedResult result =
      run_piped(measure("--quiet -- printf '<%s>' '' '[1,2]' '%%' -- --json '{}' 'a b'"));
  EXPECT_EQ(result.out, "<><[1,2]><%%><--><--json><{}><a b>");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(MeasureCommand, GivesTheCommandTheSignalsThatItWouldHaveHad) {
  const std::string asked = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
  EXPECT_EQ(run_piped(measure("-- " + asked)).out, run_piped(asked).out);
  EXPECT_EQ(run_piped("trap '' HUP; " + measure("-- " + asked)).out,
            run_piped("trap '' HUP; " + asked).out);
}

TEST_F(MeasureCommand, CountsWhatTheCountersOfAllGpusCount) {
  nvml_.write("gpus = 2\ngpu0.energy = 1000+10\ngpu1.energy = 7000+1\ngpu.power_average = 250\n");
  const auto json = json_of("-- sleep 0.2");
  const auto& gpus = json["runs"][0]["gpus"];
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0]["uuid"], "GPU-fake-0");
  const double first = gpus[0]["energy_joules"];
  const double second = gpus[1]["energy_joules"];
  EXPECT_GE(first, 10.0);
  EXPECT_DOUBLE_EQ(first, 10.0 * second);
  EXPECT_EQ(json["total_energy_joules"], first + second);
  EXPECT_EQ(gpus[0]["energy_basis"], "counter");
  EXPECT_EQ(gpus[0]["peak_power_watts"], 305.0);
  EXPECT_LE(gpus[0]["start_edge_seconds"], 0.0);
  EXPECT_GE(gpus[0]["end_edge_seconds"], 0.0);
}

TEST_F(MeasureCommand, CountsTheChosenGpusOnlyAndSaysWhoChose) {
  nvml_.write("gpus = 4\n");
  const auto flag = json_of("--gpu 2,GPU-fake-3 -- sleep 0.1");
  ASSERT_EQ(flag["runs"][0]["gpus"].size(), 2u);
  EXPECT_EQ(flag["runs"][0]["gpus"][0]["index"], 2);
  EXPECT_TRUE(flag["steady_state_measurement"]["gpu_energy"].contains("3"));
  const PipedResult cuda =
      run_piped("CUDA_VISIBLE_DEVICES=1 " + measure("-- printenv CUDA_VISIBLE_DEVICES"));
  EXPECT_EQ(cuda.out, "1\n");
  EXPECT_THAT(cuda.err, AllOf(HasSubstr("GPU 1"), Not(HasSubstr("GPU 0")),
                              HasSubstr("3 of 4 GPUs, by CUDA_VISIBLE_DEVICES")));
  const fs::path ran = folder_ / "ran";
  const PipedResult wrong = run_piped(measure("--gpu 9 -- touch " + ran.string()));
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--gpu 9: there is no such GPU; choose from 0, 1, 2, 3"));
  EXPECT_FALSE(fs::exists(ran));
}

TEST_F(MeasureCommand, AnOldDriverWithoutACounterIsIntegrated) {
  const PipedResult result =
      run_piped(std::string(MEASURE_PROGRAM) + " measure --source nvml --nvml-library " +
                THERMOE_FAKE_NVML_OLD_LIBRARY + " -- sleep 0.2");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("300.0 W"), HasSubstr("integrated power")));
}

TEST_F(MeasureCommand, ACounterThatBeganAnewGivesNoTotalAndTheReason) {
  nvml_.write("gpu.energy = 90000+10\n");
  const std::string reset =
      "-- sh -c 'echo gpu.energy = 5 > $THERMOE_FAKE_NVML.new; mv $THERMOE_FAKE_NVML.new "
      "$THERMOE_FAKE_NVML'";
  const auto json = json_of("--units 5 " + reset);
  EXPECT_TRUE(json["total_energy_joules"].is_null());
  EXPECT_TRUE(json["energy_per_unit_joules"].is_null());
  EXPECT_THAT(std::string(json["runs"][0]["total_energy_absent_because"]),
              HasSubstr("GPU 0: its energy counter fell from 90"));
}

TEST_F(MeasureCommand, WithoutASensorNothingIsRun) {
  nvml_.write("init = driver_not_loaded\n");
  const fs::path ran = folder_ / "ran";
  const PipedResult result = run_piped(measure("-- touch " + ran.string()));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_FALSE(fs::exists(ran));
  EXPECT_THAT(result.err, AllOf(HasSubstr("no sensor tells energy or power"), HasSubstr("Remedy"),
                                HasSubstr("thermoe doctor")));
}

TEST_F(MeasureCommand, ADriverThatHangsKeepsNobodyWaiting) {
  const PipedResult result = run_piped(
      measure("-- sh -c 'echo hang.nvmlDeviceGetTemperature = 1000 > $THERMOE_FAKE_NVML.new; mv "
              "$THERMOE_FAKE_NVML.new $THERMOE_FAKE_NVML; sleep 0.3; exit 4'"));
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, AllOf(HasSubstr("GPU 0"), HasSubstr("NVML: has not answered")));
}

TEST_F(MeasureCommand, JsonGoesToStandardOutputOrToAFile) {
  const PipedResult printed = run_piped(measure("--json --seconds 0.2"));
  EXPECT_EQ(nlohmann::json::parse(printed.out)["source"], "NVML");
  EXPECT_THAT(printed.err, IsEmpty());
  const fs::path out = folder_ / "m.json";
  const PipedResult filed = run_piped(measure("--out " + out.string() + " -- echo mine"));
  EXPECT_EQ(filed.out, "mine\n");
  EXPECT_THAT(filed.err, HasSubstr("Fake H100"));
  EXPECT_EQ(nlohmann::json::parse(content(out))["exit_code"], 0);
}

TEST_F(MeasureCommand, FindsTheUnitsInWhatTheCommandPrintsAndPassesItOn) {
  const std::string command =
      "-- sh -c 'echo 10 tokens; echo other >&2; printf \"20 tokens\"; exit 5'";
  const fs::path out = folder_ / "m.json";
  const PipedResult result = run_piped(measure(
      "--unit-name token --units-regex '([0-9]+) tokens' --out " + out.string() + " " + command));
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.out, "10 tokens\n20 tokens");
  EXPECT_THAT(result.err, AllOf(HasSubstr("other\n"), HasSubstr("J/token of the GPUs")));
  EXPECT_EQ(nlohmann::json::parse(content(out))["total_output_tokens"], 20.0);
}

TEST_F(MeasureCommand, WithoutAMatchTheEnergyIsStillTold) {
  const PipedResult result =
      run_piped(measure("--units-regex '([0-9]+) tokens' -- sh -c 'echo none; sleep 0.2'"));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("No J/unit: no line of the command's output matches"),
                                HasSubstr(" J ")));
}

TEST_F(MeasureCommand, MuchOutputIsPassedOnWhole) {
  const std::string much = "seq 1 300000";
  const PipedResult result = run_piped(measure("--units-regex '(29)' -- " + much + " | cksum"));
  EXPECT_EQ(result.out, run_piped(much + " | cksum").out);
}

TEST_F(MeasureCommand, WhoeverTheCommandLeavesInTheBackgroundIsNotWaitedFor) {
  const fs::path late = folder_ / "late";
  const fs::path background = folder_ / "pid";
  const PipedResult result =
      run_piped(measure("--units-regex '([0-9]+) tokens' -- sh -c '(sleep 20; echo x > " +
                        late.string() + ") 2>&1 & echo $! > " + background.string() +
                        "; echo 7 tokens' >" + (folder_ / "out").string()));
  EXPECT_FALSE(fs::exists(late));
  EXPECT_THAT(result.err, HasSubstr("7 units"));
  ::kill(std::stoi(content(background)), SIGKILL);
}

TEST_F(MeasureCommand, ReadsTheUnitsFromAServersCounter) {
  const auto answer = [](const std::string& body) {
    return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  };
  const OnePageServer server({answer("vllm:generation_tokens_total{engine=\"0\"} 100\n"),
                              answer("vllm:generation_tokens_total{engine=\"0\"} 1100\n")});
  const auto json = json_of("--unit-name token --units-url " + server.url() +
                            " --units-counter vllm:generation_tokens_total -- sleep 0.2");
  EXPECT_EQ(json["total_output_tokens"], 1000.0);
  EXPECT_DOUBLE_EQ(json["energy_per_token_joules"],
                   json["steady_state_energy"].get<double>() / 1000.0);
}

TEST_F(MeasureCommand, AServerThatGoesAwayBetweenRunsTakesTheUnitsOfThoseOnly) {
  const OnePageServer server({"HTTP/1.1 200 OK\r\n\r\nx 1\n", "HTTP/1.1 200 OK\r\n\r\nx 5\n",
                              "HTTP/1.1 503 Service Unavailable\r\n\r\n",
                              "HTTP/1.1 503 Service Unavailable\r\n\r\n"});
  const auto json =
      json_of("--repeat 2 --units-url " + server.url() + " --units-counter x -- sleep 0.2");
  ASSERT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["runs"][0]["units"], 4.0);
  EXPECT_TRUE(json["runs"][1]["units"].is_null());
  EXPECT_THAT(std::string(json["runs"][1]["units_absent_because"]), HasSubstr("answers 503"));
  EXPECT_TRUE(json["total_energy_joules"].is_number());
}

TEST_F(MeasureCommand, WithoutTheServerNothingIsRun) {
  std::string url;
  {
    const OnePageServer gone({});
    url = gone.url();
  }
  const fs::path ran = folder_ / "ran";
  const PipedResult result =
      run_piped(measure("--units-url " + url + " --units-counter x -- touch " + ran.string()));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_FALSE(fs::exists(ran));
  EXPECT_THAT(result.err, AllOf(HasSubstr("units cannot be counted"), HasSubstr("--skip")));
}

TEST_F(MeasureCommand, RepeatsAfterWarmingUpAndTellsTheSpread) {
  const fs::path runs = folder_ / "runs";
  const auto json =
      json_of("--repeat 3 --warmup 2 -- sh -c 'echo x >> " + runs.string() + "; sleep 0.1'");
  EXPECT_EQ(content(runs), "x\nx\nx\nx\nx\n");
  EXPECT_EQ(json["runs"].size(), 3u);
  const auto& spread = json["spread"]["total_energy_joules"];
  EXPECT_LE(spread["min"], spread["median"]);
  EXPECT_LE(spread["median"], spread["max"]);
}

TEST_F(MeasureCommand, ARunThatFailsIsTheLast) {
  const fs::path runs = folder_ / "runs";
  const PipedResult result =
      run_piped(measure("--repeat 3 -- sh -c 'echo x >> " + runs.string() + "; exit 9'"));
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_EQ(content(runs), "x\n");
}

TEST_F(MeasureCommand, AWarmUpThatFailsIsNoMeasurement) {
  const PipedResult result = run_piped(measure("--warmup 1 -- sh -c 'sleep 0.1; exit 5'"));
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("the warm-up ended with exit code 5; nothing was measured"),
                    Not(HasSubstr("total"))));
  const auto json = json_of("--warmup 2 --repeat 3 -- sh -c 'kill -TERM $PPID; sleep 5'");
  EXPECT_TRUE(json["total_energy_joules"].is_null());
  EXPECT_THAT(std::string(json["runs"][0]["absent_because"]),
              HasSubstr("interrupted by signal 15"));
}

TEST_F(MeasureCommand, TheFileIsWrittenAndTheExitCodeKeptWhereNobodyReadsTheWords) {
  const fs::path out = folder_ / "m.json";
  for (const std::string to : {"2>&-", "2>/dev/full", ">/dev/full", ">&-"}) {
    const std::string json = to.front() == '>' ? "--json " : "";
    const PipedResult result =
        run_piped(measure(json + "--out " + out.string() + " -- sh -c 'exit 3' " + to));
    EXPECT_EQ(result.exit_code, json.empty() ? 3 : 1) << to;
    EXPECT_TRUE(fs::remove(out)) << to;
  }
  run_piped("{ " + measure("--out " + out.string() + " -- sh -c 'sleep 0.3; exit 3'") +
            "; echo $? >" + (folder_ / "code").string() + "; } 2>&1 | true");
  EXPECT_EQ(content(folder_ / "code"), "3\n");
  EXPECT_TRUE(fs::exists(out));
}

TEST_F(MeasureCommand, AFileThatCannotBeWrittenIsRefusedBeforeTheCommandRuns) {
  const fs::path log = folder_ / "log";
  const fs::path ran = folder_ / "ran";
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("/proc/version", folder_ / "link");
  const std::string places[] = {"/dev/stdout",
                                "/dev/fd/1",
                                "/proc/self/fd/1",
                                "/dev/null",
                                (folder_ / "pipe").string(),
                                (folder_ / "link").string()};
  for (const std::string& place : places) {
    const PipedResult result =
        run_piped(measure("--out " + place + " -- touch " + ran.string() + " > " + log.string()));
    EXPECT_EQ(result.exit_code, 2) << place;
    EXPECT_THAT(result.err, HasSubstr("--out " + place)) << place;
    EXPECT_EQ(content(log), "") << place;
    EXPECT_FALSE(fs::exists(ran)) << place;
  }
}

TEST_F(MeasureCommand, SkippedTimeIsNotInTheWindow) {
  const auto json = json_of("--skip 0.3 -- sleep 0.6");
  EXPECT_GE(json["duration"], 0.6);
  EXPECT_LE(json["steady_state_duration"].get<double>(), json["duration"].get<double>() - 0.3);
  const PipedResult all = run_piped(measure("--skip 1000 -- sh -c 'exit 6'"));
  EXPECT_EQ(all.exit_code, 6);
  EXPECT_THAT(all.err, HasSubstr("before the 1000.0 s of --skip were over"));
}

TEST_F(MeasureCommand, IdleIsMeasuredBeforeAndTakenOff) {
  const auto json = json_of("--idle 0.3 -- sleep 0.3");
  EXPECT_TRUE(json["total_energy_above_idle_joules"].is_number());
  EXPECT_EQ(json["idle"]["gpus"].size(), 1u);
}

TEST_F(MeasureCommand, ASignalSentToItAloneIsHandedOn) {
  const PipedResult result = run_piped(
      measure("-- sh -c 'trap \"echo told; exit 7\" TERM; kill -TERM $PPID; for i in $(seq "
              "200); do sleep 0.05; done'"));
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.out, "told\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("interrupted by signal 15"), HasSubstr("Fake H100")));
}

TEST_F(MeasureCommand, CtrlCGoesToTheCommandOnceAndWhatWasMeasuredIsTold) {
  if (!pseudo_terminals_exist()) GTEST_SKIP() << "no pseudo-terminal here: is /dev/pts mounted?";
  // Not a shell: those lose a signal that comes while another one's trap runs.
  const std::string command =
      "import os, signal, time\n"
      "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'caught\\n'))\n"
      "signal.signal(signal.SIGTERM, lambda *_: os._exit(8))\n"
      "os.write(1, b'ready\\n')\n"
      "time.sleep(60)\n";
  TerminalProcess process({MEASURE_PROGRAM, "measure", "--source", "nvml", "--nvml-library",
                           nvml_.library(), "--repeat", "3", "--", "python3", "-c", command},
                          100, 24);
  ASSERT_TRUE(process.shows("ready"));
  process.type(kCtrlC);
  ASSERT_TRUE(process.shows("caught"));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.shows("interrupted by signal 15"));
  EXPECT_EQ(process.wait(), 8);
  const std::string& all = process.output();
  EXPECT_EQ(all.find("caught"), all.rfind("caught"));
}

TEST_F(MeasureCommand, CtrlCEndsAStretchOfTimeEarlyAndItIsTold) {
  if (!pseudo_terminals_exist()) GTEST_SKIP() << "no pseudo-terminal here: is /dev/pts mounted?";
  TerminalProcess process({MEASURE_PROGRAM, "measure", "--source", "nvml", "--nvml-library",
                           nvml_.library(), "--seconds", "1000"},
                          100, 24);
  ASSERT_TRUE(process.shows("of 1000 s"));
  process.type(kCtrlC);
  ASSERT_TRUE(process.shows("interrupted by signal 2"));
  ASSERT_TRUE(process.shows("Fake H100"));
  EXPECT_EQ(process.wait(), 128 + SIGINT);
}

TEST_F(MeasureCommand, ASimulationWithoutACommandTakesNoTimeAndIsTheSameEachTime) {
  const PipedResult first = run_piped(simulated("--seconds 3600 --skip 60 --json"));
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_EQ(first.out, run_piped(simulated("--seconds 3600 --skip 60 --json")).out);
  const auto json = nlohmann::json::parse(first.out);
  EXPECT_EQ(json["simulated"], true);
  EXPECT_EQ(json["steady_state_duration"], 3600.0);
  EXPECT_EQ(json["duration"], 3660.0);
  EXPECT_NEAR(json["steady_state_energy"], json["avg_power_watts"].get<double>() * 3600.0, 1.0);
}

TEST_F(MeasureCommand, ARecordingIsMeasuredAsAWholeOrInPart) {
  const std::string replay = std::string(MEASURE_PROGRAM) + " measure --source replay " +
                             THERMOE_SOURCE_DIR "/docs/results/monitor_h100.csv ";
  const auto whole = nlohmann::json::parse(run_piped(replay + "--json").out);
  EXPECT_NEAR(whole["steady_state_energy"], 9102.617, 1e-3);
  const auto part = nlohmann::json::parse(run_piped(replay + "--json --skip 5 --seconds 10").out);
  EXPECT_EQ(part["steady_state_duration"], 10.0);
  EXPECT_LT(part["steady_state_energy"], whole["steady_state_energy"]);
  const PipedResult beyond = run_piped(replay + "--seconds 1000");
  EXPECT_EQ(beyond.exit_code, 2);
  EXPECT_THAT(beyond.err, HasSubstr("ends after 19.9 s"));
}

TEST_F(MeasureCommand, SaysWhatIsWrongWithFlagsBeforeAnyWork) {
  struct Case {
    std::string arguments;
    std::string problem;
  };
  const Case cases[] = {
      {"", "Give -- COMMAND [ARG...], or --seconds S"},
      {"--", "names no command after --"},
      {"--json sleep 1", "put -- before the command"},
      {"--seconds 3 -- true", "give one of the two"},
      {"--seconds nan", "--seconds"},
      {"--seconds 0x10", "--seconds"},
      {"--skip -1 -- true", "--skip"},
      {"--repeat 0 -- true", "--repeat"},
      {"--repeat 1.5 -- true", "--repeat"},
      {"--units 0 -- true", "--units"},
      {"--units 5 --units-regex '(x)' -- true", "give one"},
      {"--units-regex '(x)' --seconds 1", "there is no command"},
      {"--units-regex '(x)' --skip 1 -- true", "--units-url, which is read at the window's edges"},
      {"--units-regex x -- true", "has 0 groups"},
      {"--units-url http://h/ -- true", "belong together"},
      {"--units-url https://h/ --units-counter x -- true", "https is not spoken"},
      {"--units-url http://h/ --units-counter '{}' -- true", "--units-counter {}"},
      {"--unit-name 'J t' -- true", "--unit-name"},
      {"--out /no/such/folder/x.json -- true", "there is no folder /no/such/folder"},
      {"--source nvm -- true", "did you mean nvml?"},
      {"--source replay -- true", "needs a FILE"},
      {"--gpu x -- true", "is no GPU"},
      {"--source host --gpu 1 -- true", "has no GPUs to choose from"},
      {"--source replay /no/such.csv", "/no/such.csv"},
  };
  for (const Case& c : cases) {
    const PipedResult result =
        run_piped(fmt::format("{} measure {}", MEASURE_PROGRAM, c.arguments));
    EXPECT_EQ(result.exit_code, 2) << c.arguments;
    EXPECT_THAT(result.err, HasSubstr(c.problem)) << c.arguments;
    EXPECT_THAT(result.out, IsEmpty()) << c.arguments;
  }
}

}  // namespace
}  // namespace thermoe
