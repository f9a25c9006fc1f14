// SPDX-License-Identifier: Apache-2.0
#include "profile/record/record_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

#include "core/errors.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

const ProfileFacts kFacts{.backend = "cpu", .device = "A CPU", .seed = 3};

TimeRecord time_record(const char* name) {
  return {.part = "expert_layer",
          .point = *read_op_point(name),
          .timing = {.source = CostSource::kCupti,
                     .spans_ns = {1000, 1100},
                     .kernels = {{.name = "kernel<4>",
                                  .op = name,
                                  .count = 2,
                                  .total_ns = 1900,
                                  .min_ns = 900,
                                  .max_ns = 1000,
                                  .grid = Extent{4, 2, 1},
                                  .block = Extent{128, 1, 1},
                                  .registers = 64}}},
          .state = {.temperature = Celsius(41), .sm_clock = Megahertz(1980)}};
}
constexpr const char* kPoint = "moe_experts [8, 2, 64, 32] bf16 tokens 4 active 3";

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void expect_refused(const std::string& path, const std::string& text, const char* expected) {
  write(path, text);
  try {
    (void)read_records(path);
    ADD_FAILURE() << text;
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(expected)) << text;
  }
}

TEST(RecordFile, WhatIsAddedIsThereForTheNextRun) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  {
    RecordFile records(path, kFacts);
    records.add(time_record(kPoint));
    records.add(EnergyRecord{.point = *read_op_point(kPoint),
                             .turn = 4,
                             .window = Seconds(5),
                             .executions = 1e4,
                             .gross = Joules(2000),
                             .idle = Watts(120),
                             .idle_change = 0.01,
                             .state = {.memory_clock = Megahertz(2619)}});
    records.add(ThermalRecord{.point = *read_op_point(kPoint),
                              .samples = {{Seconds(0.1), Watts(300), Celsius(40)}}});
    records.add(StrainRecord{
        .point = *read_op_point(kPoint),
        .limit = Watts(700),
        .samples = {{Seconds(0.1), Watts(650), Megahertz(1500)}, {Seconds(0.2), Watts(120), {}}},
        .batches = {{.from = Seconds(0.05), .to = Seconds(0.15), .executions = 50}}});
  }
  const RecordFile again(path, kFacts);
  const ProfileRecords& records = again.records();
  ASSERT_EQ(records.times.size(), 1U);
  const TimeRecord& time = records.times[0];
  EXPECT_EQ(time.point, *read_op_point(kPoint));
  EXPECT_EQ(time.timing.source, CostSource::kCupti);
  EXPECT_THAT(time.timing.spans_ns, ::testing::ElementsAre(1000, 1100));
  ASSERT_EQ(time.timing.kernels.size(), 1U);
  EXPECT_EQ(time.timing.kernels[0].name, "kernel<4>");
  EXPECT_EQ(time.timing.kernels[0].op, kPoint);
  EXPECT_EQ(time.timing.kernels[0].grid, (Extent{4, 2, 1}));
  EXPECT_EQ(time.state, (DeviceState{.temperature = Celsius(41), .sm_clock = Megahertz(1980)}));
  ASSERT_EQ(records.energies.size(), 1U);
  EXPECT_EQ(records.energies[0].power(), Watts(400));
  EXPECT_EQ(records.energies[0].above_idle(), Joules((2000 - 5 * 120) / 1e4));
  ASSERT_TRUE(records.thermal);
  EXPECT_EQ(records.thermal->samples.at(0).power, Watts(300));
  ASSERT_TRUE(records.strain);
  EXPECT_EQ(records.strain->limit, Watts(700));
  EXPECT_EQ(records.strain->samples.at(0).sm_clock, Megahertz(1500));
  EXPECT_FALSE(records.strain->samples.at(1).sm_clock);
  EXPECT_EQ(records.strain->batches.at(0).to, Seconds(0.15));
  EXPECT_EQ(records.strain->batches.at(0).executions, 50);
}

TEST(RecordFile, ALineThatWasCutOffIsWrittenAnew) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  { RecordFile(path, kFacts).add(time_record(kPoint)); }
  const std::string whole = bytes_of(path);
  for (const std::size_t cut : {whole.size() - 1, whole.size() - 60, whole.find('\n') + 2}) {
    write(path, whole.substr(0, cut));
    RecordFile records(path, kFacts);
    EXPECT_TRUE(records.records().times.empty()) << cut;
    records.add(time_record(kPoint));
    EXPECT_EQ(bytes_of(path), whole) << cut;
  }
}

TEST(RecordFile, AnotherDeviceOrSeedIsRefused) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  { const RecordFile records(path, kFacts); }
  ProfileFacts other = kFacts;
  other.device = "Another";
  EXPECT_THROW(RecordFile(path, other), UsageError);
  other = kFacts;
  other.seed = 4;
  try {
    const RecordFile records(path, other);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is of seed 3, and this run is of 4"));
    EXPECT_THAT(error.what(), HasSubstr("--out"));
  }
}

TEST(RecordFile, TwoRunsNeverWriteIntoOneFolder) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  {
    RecordFile first(path, kFacts);
    try {
      RecordFile second(path, kFacts);
      FAIL();
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("another thermoe profile writes there"));
      EXPECT_THAT(error.what(), HasSubstr("--out"));
    }
    first.add(time_record(kPoint));
  }
  EXPECT_EQ(RecordFile(path, kFacts).records().times.size(), 1U) << "the lock ends with its run";
}

TEST(RecordFile, WhatIsNoRecordIsRefusedWithItsLine) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  { RecordFile(path, kFacts).add(time_record(kPoint)); }
  const std::string whole = bytes_of(path);
  const std::string head = whole.substr(0, whole.find('\n') + 1);
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {whole.substr(head.size()), "jsonl:1: /kind: the first line"},
           {head + "{\"kind\":\"tim\"}\n", "jsonl:2: /kind"},
           {head + "not json\n", "jsonl:2"},
           {head + "{\"kind\":\"time\",\"part\":\"a\",\"point\":\"x\"}\n", "jsonl:2: /point"},
           {head + "{\"kind\":[\"time\"]}\n", "jsonl:2: /kind"},
           {"{\"kind\":5}\n", "jsonl:1: /kind"},
           {whole + whole.substr(head.size()), "jsonl:3: /point: " + std::string(kPoint) + " was"},
           {head + head, "jsonl:2: /kind"}}) {
    write(path, text);
    try {
      const RecordFile records(path, kFacts);
      ADD_FAILURE() << text;
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(expected));
    }
    EXPECT_EQ(bytes_of(path), text) << "a refused file stays as it is";
  }
}

TEST(RecordFile, APointThatCanBeNoRowIsRefused) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  const std::string head = R"({"kind":"profile","format":1,"backend":"cpu","device":"A CPU",)"
                           R"("driver":"","seed":3})"
                           "\n";
  const auto line = [](const std::string& point, const char* ns) {
    return fmt::format(
        R"({{"kind":"time","part":"a","point":"{}","source":"timed","spans_ns":[{}],"kernels":[]}})",
        point, ns);
  };
  write(path, head + line(kPoint, "5") + "\n");
  EXPECT_EQ(read_records(path).times.size(), 1U);
  for (const auto& [record, expected] : std::vector<std::pair<std::string, const char*>>{
           {line(kPoint, "0"), "/spans_ns: must be"},
           {line("moe_experts [8] bf16 tokens 4 active 3", "5"), "/point: is"},
           {line("moe_experts [8, 2, 64, 32] bf16 tokens 4", "5"), "/point: is"},
           {line("moe_experts [8, 2, 64, 32] bf16 tokens 4 active 9", "5"), "/point: is"},
           {line("moe_experts [8, 2, 64, 32] bf16 tokens 0 active 3", "5"), "/point: is"},
           {line("moe_experts [8, 2, 64, 32] bf16 tokens 1e300 active 3", "5"), "/point: is"},
           {line("linear [8, -2] f32 tokens 4", "5"), "/point: is"},
           {line("linear [8, 2] f32 group 0 tokens 4", "5"), "/point: is"},
           {line("topk_route [8] f32 tokens 4", "5"), "/point: is"},
           {line("sort [8] f32 tokens 4", "5"), "/point: is"}}) {
    expect_refused(path, head + record + "\n", expected);
  }
}

TEST(RecordFile, ReadingsThatNoDeviceSaysAreRefused) {
  const ScratchFolder folder;
  const std::string path = folder / "records.jsonl";
  { const RecordFile records(path, kFacts); }
  const std::string head = bytes_of(path);
  const auto strain = [](const char* samples, const char* batches, const char* limit = "700") {
    return fmt::format(
        R"({{"kind":"strain","point":"{}","limit_w":{},"samples":[{}],"batches":[{}]}})", kPoint,
        limit, samples, batches);
  };
  const auto thermal = [](const char* samples) {
    return fmt::format(R"({{"kind":"thermal","point":"{}","samples":[{}]}})", kPoint, samples);
  };
  constexpr const char* kSamples = "[0.1,300,1980],[0.2,310,null]";
  constexpr const char* kBatches = "[0,0.1,5],[0.1,0.2,5]";
  write(path, head + strain(kSamples, kBatches) + "\n" + thermal("[0,300,40],[1,300,41]") + "\n");
  EXPECT_EQ(read_records(path).strain->batches.size(), 2U);
  for (const auto& [record, expected] : std::vector<std::pair<std::string, const char*>>{
           {strain(kSamples, kBatches, "0"), "/limit_w"},
           {strain("[0.1,1e308,1980]", kBatches), "/samples/0: must be"},
           {strain("[0.1,-1,1980]", kBatches), "/samples/0: must be"},
           {strain("[0.1,300,-1]", kBatches), "/samples/0: must be"},
           {strain("[0.2,300,1980],[0.1,300,1980]", kBatches), "/samples/1: is earlier"},
           {strain(kSamples, "[0.1,0.1,5]"), "/batches: must"},
           {strain(kSamples, "[0,0.1,5.5]"), "/batches: must"},
           {strain(kSamples, "[0,0.1,0]"), "/batches/0: must"},
           {strain(kSamples, "[0,0.2,5],[0.1,0.3,5]"), "/batches: must"},
           {thermal("[0,300,40],[-1,300,41]"), "/samples/1: must be"},
           {thermal("[1,300,40],[0,300,41]"), "/samples/1: is earlier"},
           {thermal("[0,300,1e300]"), "/samples/0: must be"},
           {thermal("[0,300,null]"), "/samples/0: must be"}}) {
    expect_refused(path, head + record + "\n", expected);
  }
}

}  // namespace
}  // namespace thermoe
