// SPDX-License-Identifier: Apache-2.0
#include "doctor/diagnosis.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "core/json_file.h"
#include "doctor/doctor_json.h"
#include "doctor/doctor_text.h"
#include "fake_nvml/scripted_nvml.h"
#include "fake_system.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

/// Every finding that there always is; docs/doctor.md lists them.
const std::set<std::string>& ids() {
  static const std::set<std::string> kIds = {"cpu.model",    "cpu.features", "cpu.kernels",
                                             "memory",       "torch",        "torch.cuda",
                                             "data.model",   "data.costs",   "data.experiments",
                                             "data.text",    "runs",         "gpu.driver",
                                             "gpu.devices",  "nvml.library", "nvml.gpus",
                                             "cuda.toolkit", "cuda.driver",  "cupti",
                                             "nsys",         "nsys.sqlite",  "ncu",
                                             "gpu.counters", "perf_event",   "host.rapl",
                                             "host.hwmon",   "browser",      "nvml.power"};
  return kIds;
}

const Ability& ability(const Diagnosis& diagnosis, const std::string& id) {
  for (const Ability& a : diagnosis.abilities) {
    if (a.id == id) return a;
  }
  throw std::out_of_range("no ability " + id);
}

TEST(DoctorDiagnosis, AUsualMachineIsHealthyThoughAllElseIsMissing) {
  FakeSystem fake;
  fake.add_usual_files();
  const Diagnosis diagnosis = diagnose(fake.machine);
  EXPECT_TRUE(diagnosis.healthy());
  EXPECT_TRUE(ability(diagnosis, "simulated_runs").possible);
  EXPECT_EQ(ability(diagnosis, "simulated_runs").reason, "AVX2 path");
  for (const char* id :
       {"gpu_telemetry", "host_power", "cuda_build", "cuda_run", "gpu_timeline", "gpu_counters"}) {
    EXPECT_FALSE(ability(diagnosis, id).possible) << id;
    EXPECT_NE(ability(diagnosis, id).reason, "") << id;
  }
}

TEST(DoctorDiagnosis, OneNeededThingThatIsMissingIsAFailure) {
  FakeSystem fake;
  fake.add_usual_files();
  std::filesystem::remove(fake.path("/clone/model/thermoe-e128.safetensors"));
  const Diagnosis diagnosis = diagnose(fake.machine);
  EXPECT_FALSE(diagnosis.healthy());
  EXPECT_EQ(ability(diagnosis, "simulated_runs").reason, "Shipped model missing");
}

TEST(DoctorDiagnosis, AHiddenProcIsNoFailure) {
  FakeSystem fake;
  fake.add_usual_files();
  std::filesystem::remove_all(fake.path("/proc"));
  EXPECT_TRUE(diagnose(fake.machine).healthy());
}

TEST(DoctorDiagnosis, AGpuWithEverythingCanDoEverything) {
  const ScriptedNvml nvml;
  FakeSystem fake;
  fake.add_usual_files();
  fake.add_nvidia_driver();
  fake.add_capabilities("000001ffffffffff");
  fake.machine.nvml_library = nvml.library();
  fake.program("/usr/bin/nvcc", "echo release 13.0");
  fake.program("/usr/bin/nsys", "echo version 2025.3.1 sqlite");
  fake.program("/usr/bin/ncu", "echo Version 2025.3.1");
  fake.add_rapl("intel-rapl:0", "package-0");
  for (const Ability& a : diagnose(fake.machine).abilities) EXPECT_TRUE(a.possible) << a.reason;
}

TEST(DoctorDiagnosis, EveryFindingHasItsOwnIdTitleAndSense) {
  const FakeSystem bare;
  std::set<std::string> seen;
  for (const Section& section : diagnose(bare.machine).sections) {
    for (const Finding& finding : section.findings) {
      EXPECT_TRUE(seen.insert(finding.id).second) << finding.id;
      EXPECT_NE(finding.title, "") << finding.id;
      const bool speaks = !finding.value.empty() || !finding.detail.empty();
      EXPECT_TRUE(speaks) << finding.id;
      if (finding.found() || finding.status == Status::kUnknown) continue;
      EXPECT_NE(finding.enables, "") << finding.id;
      EXPECT_NE(finding.remedy, "") << finding.id;
    }
  }
  EXPECT_EQ(seen, ids());
}

TEST(DoctorDiagnosis, JsonHoldsEveryFindingAndAbility) {
  FakeSystem fake;
  fake.add_usual_files();
  fake.program("/usr/bin/nsys", R"(printf 'bad \377 bytes' >&2; exit 3)");
  const Diagnosis diagnosis = diagnose(fake.machine);
  const nlohmann::json json = parse_json(to_json(diagnosis, "1.2.3"), "stdout");
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["thermoe"], "1.2.3");
  EXPECT_EQ(json["healthy"], true);
  EXPECT_EQ(json["summary"], summary_line(diagnosis));
  EXPECT_EQ(json["abilities"].size(), diagnosis.abilities.size());
  std::set<std::string> seen;
  for (const auto& finding : json["findings"]) {
    seen.insert(finding["id"].get<std::string>());
    for (const char* key : {"title", "status", "needed", "value", "detail", "enables", "remedy"}) {
      EXPECT_TRUE(finding.contains(key)) << key;
      EXPECT_NE(finding[key], "") << "absent is null";
    }
  }
  EXPECT_EQ(seen, ids());
}

TEST(DoctorDiagnosis, StatusesHaveTheWordsOfTheJson) {
  EXPECT_STREQ(to_string(Status::kFound), "found");
  EXPECT_STREQ(to_string(Status::kMissing), "missing");
  EXPECT_STREQ(to_string(Status::kBroken), "broken");
  EXPECT_STREQ(to_string(Status::kNotPermitted), "not_permitted");
  EXPECT_STREQ(to_string(Status::kUnknown), "unknown");
}

/// Lines that are too long though they could have been broken: neither commands nor single words.
std::vector<std::string> overlong(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::size_t start = std::min(line.find_first_not_of(' '), line.size());
    const bool command =
        line.compare(start, 2, "$ ") == 0 || line.find(": $ ") != std::string::npos;
    const bool one_word = line.find(' ', start) == std::string::npos;
    if (line.size() > width && !command && !one_word) lines.push_back(line);
  }
  return lines;
}

TEST(DoctorDiagnosis, TextFitsNarrowAndWideTerminals) {
  FakeSystem fake;
  fake.add_usual_files();
  const Diagnosis diagnosis = diagnose(fake.machine);
  for (const std::size_t width : {40U, 59U, 60U, 80U, 200U}) {
    EXPECT_THAT(overlong(to_text(diagnosis, {.width = width}), width), testing::IsEmpty()) << width;
  }
  EXPECT_NE(to_text(diagnosis, {.width = 0}), "") << "a terminal that does not know its width";
}

TEST(DoctorDiagnosis, TextSaysWhatIsMissingForWhatAndTheRemedy) {
  Diagnosis diagnosis{.sections = {{.title = "GPU",
                                    .findings = {{.id = "nvml.library",
                                                  .title = "NVML",
                                                  .status = Status::kMissing,
                                                  .detail = "no library",
                                                  .enables = "watts",
                                                  .remedy = "install it:\n$ apt install it"},
                                                 {.id = "ok",
                                                  .title = "Other",
                                                  .status = Status::kFound,
                                                  .value = "1.0",
                                                  .detail = "more",
                                                  .enables = "unsaid",
                                                  .remedy = "unsaid"}}}},
                      .abilities = {{.id = "a", .title = "doing a", .possible = true},
                                    {.id = "b", .title = "b", .reason = "NVML missing"}}};
  EXPECT_EQ(to_text(diagnosis, {}),
            "GPU\n"
            "  missing  NVML: no library\n"
            "           Enables: watts\n"
            "           Remedy: install it:\n"
            "           $ apt install it\n"
            "  ok       Other: 1.0\n"
            "           more\n"
            "\n"
            "Here and now: doing a: yes; b: no (NVML missing).\n");
}

TEST(DoctorDiagnosis, ARemedyIsNotSaidTwiceInARow) {
  const Finding finding{.id = "a", .title = "A", .status = Status::kMissing, .remedy = "do it"};
  const std::string text =
      to_text({.sections = {{.title = "S", .findings = {finding, finding}}}}, {});
  EXPECT_EQ(text.find("do it"), text.rfind("do it"));
  EXPECT_THAT(text, HasSubstr("Remedy: as above"));
}

TEST(DoctorDiagnosis, OneGpuThatAnswersIsEnoughForTelemetry) {
  ScriptedNvml nvml("gpus = 2\ngpu0.state = lost\n");
  FakeSystem fake;
  fake.add_usual_files();
  fake.machine.nvml_library = nvml.library();
  EXPECT_TRUE(ability(diagnose(fake.machine), "gpu_telemetry").possible);
  nvml.write("gpu.state = lost\n");
  const Ability none = ability(diagnose(fake.machine), "gpu_telemetry");
  EXPECT_FALSE(none.possible);
  EXPECT_EQ(none.reason, "Power readings missing");
}

TEST(DoctorDiagnosis, TelemetryWithoutAPowerReadingIsNone) {
  // As a Jetson answers: the library and a GPU are there, and no reading is.
  const ScriptedNvml nvml(
      "gpu.name = Thor\ngpu.uuid = not_supported\ngpu.power_limit = not_supported\n"
      "gpu.memory_total = not_supported\ngpu.power_average = not_supported\n"
      "gpu.power_instant = not_supported\ngpu.power_usage = not_supported\n"
      "gpu.temperature = not_supported\ngpu.memory_temperature = not_supported\n"
      "gpu.sm_clock = not_supported\ngpu.memory_clock = not_supported\n"
      "gpu.gpu_utilisation = not_supported\ngpu.throttle_reasons = not_supported\n"
      "gpu.energy = not_supported\n");
  FakeSystem fake;
  fake.machine.nvml_library = nvml.library();
  const Diagnosis diagnosis = diagnose(fake.machine);
  EXPECT_FALSE(ability(diagnosis, "gpu_telemetry").possible);
  EXPECT_EQ(ability(diagnosis, "gpu_telemetry").reason, "Power readings missing");
  const Finding& gpu = *find(diagnosis.sections, "nvml.gpu.0");
  EXPECT_EQ(gpu.status, Status::kBroken);
  EXPECT_THAT(gpu.detail, HasSubstr("answers: nothing"));
  EXPECT_THAT(gpu.remedy, HasSubstr("Jetson"));
}

TEST(DoctorDiagnosis, NamesAreShownWithoutWhatTheyWouldDoToATerminal) {
  const ScriptedNvml nvml("gpu.name = \xff\xfe\x1b[31mRTX\n");
  FakeSystem fake;
  fake.machine.nvml_library = nvml.library();
  const Diagnosis diagnosis = diagnose(fake.machine);
  const std::string text = to_text(diagnosis, {.width = 200});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, HasSubstr("GPU 0: \uFFFD\uFFFD[31mRTX"));
  const std::string plain = to_text(diagnosis, {.width = 200, .unicode = false});
  EXPECT_THAT(plain, HasSubstr("GPU 0: ??[31mRTX"));
  EXPECT_TRUE(std::all_of(plain.begin(), plain.end(),
                          [](char c) { return c == '\n' || (c >= ' ' && c < 127); }));
  EXPECT_EQ(to_json(diagnosis, "1").find('\x1b'), std::string::npos);
}

TEST(DoctorDiagnosis, APowerMeterOfTheBoardIsPowerOfTheHostToo) {
  FakeSystem fake;
  EXPECT_FALSE(ability(diagnose(fake.machine), "host_power").possible);
  fake.file("/sys/class/hwmon/hwmon0/name", "ina3221\n");
  fake.file("/sys/class/hwmon/hwmon0/power1_input", "31000000\n");
  EXPECT_TRUE(ability(diagnose(fake.machine), "host_power").possible);
}

TEST(DoctorDiagnosis, ColourIsOnlyAddedWhereItIsWanted) {
  FakeSystem fake;
  fake.add_usual_files();
  const Diagnosis diagnosis = diagnose(fake.machine);
  const std::string plain = to_text(diagnosis, {});
  std::string coloured = to_text(diagnosis, {.colour = true});
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_THAT(coloured, HasSubstr("\x1b[32mok\x1b[0m"));
  for (auto at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b')) {
    coloured.erase(at, coloured.find('m', at) + 1 - at);
  }
  EXPECT_EQ(coloured, plain);
}

TEST(DoctorDiagnosis, ThisMachineCanBeExamined) {
  HostSystem machine = this_system();
  EXPECT_GT(machine.cpus, 0);
  EXPECT_EQ(machine.best_isa, cpu::best_isa());
  for (const std::string& variable : machine.environment) {
    EXPECT_THAT(variable, testing::MatchesRegex("(LC_ALL|PATH|HOME|TMPDIR|LD_LIBRARY_PATH)=.*"));
  }
  machine.path.clear();  // whatever is installed here is not the test's to start
  machine.nvml_library = "/no/such/library";
  EXPECT_TRUE(find(diagnose(machine).sections, "cpu.model") != nullptr);
}

}  // namespace
}  // namespace thermoe::doctor
