// SPDX-License-Identifier: Apache-2.0
#include "report/summary.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/errors.h"
#include "core/json_file.h"
#include "report/summary_table.h"

namespace thermoe {
namespace {

Summary example() {
  StrategySummary baseline{.name = "BASELINE",
                           .tokens_per_second = 1000,
                           .mean_power = Watts(470),
                           .bits_per_byte = 1.2};
  StrategySummary ttha{.name = "KERNEL_AWARE_TTHA",
                       .tokens_per_second = 1000,
                       .joules_per_token = 0.349,
                       .mean_power = Watts(348.7),
                       .bits_per_byte = 1.212,
                       .baseline_bits_per_byte = 1.2,
                       .loss_interval = Interval{.low = 0.8, .high = 1.2},
                       .kl_to_baseline = 0.0123,
                       .peak_memory_bytes = 123,
                       .fallbacks = 1,
                       .fallback_share = 0.02,
                       .fallback_reasons = {"BASELINE: power sensor frozen for 1.2 s"}};
  ttha.targets = {{.kind = TargetOutcome::Kind::kPower,
                   .target = 350,
                   .violation_fraction = 0.011,
                   .over_target_fraction = 0.352,
                   .settling = Seconds(1.5)}};
  return {.device = "simulated NVIDIA H100 80GB HBM3",
          .simulated = true,
          .seed = 1,
          .costs = "decisions: shipped model; costs: Qwen3-30B-A3B shape, simulated",
          .strategies = {baseline, ttha}};
}

TEST(Summary, HasTheMembersOfItsSchemaAndNoOthers) {
  const nlohmann::json json = to_json(example());
  std::set<std::string> top, members;
  for (const auto& [name, value] : json.items()) top.insert(name);
  EXPECT_EQ(top, (std::set<std::string>{"schema", "device", "simulated", "seed", "strategies"}));
  for (const auto& [name, value] : json["strategies"][1].items()) members.insert(name);
  EXPECT_EQ(members, (std::set<std::string>{"name",
                                            "tokens_per_second",
                                            "joules_per_token",
                                            "mean_power_w",
                                            "power_target_w",
                                            "power_violation_fraction",
                                            "power_over_target_fraction",
                                            "settling_time_s",
                                            "max_temperature_c",
                                            "p50_step_ms",
                                            "p99_step_ms",
                                            "mean_active_experts",
                                            "bits_per_byte",
                                            "kept_mass",
                                            "quality_loss_nats",
                                            "quality_loss_percent",
                                            "quality_loss_interval_percent",
                                            "kl_to_baseline",
                                            "expert_load_cv",
                                            "gpu_util",
                                            "mem_util",
                                            "peak_memory_bytes",
                                            "fallbacks"}));
  EXPECT_TRUE(json["strategies"][0]["power_target_w"].is_null());
  EXPECT_TRUE(json["strategies"][0]["kl_to_baseline"].is_null());
  EXPECT_EQ(json["strategies"][1]["settling_time_s"], 1.5);
  EXPECT_EQ(json["strategies"][1]["power_over_target_fraction"], 0.352);
  EXPECT_EQ(json["strategies"][1]["quality_loss_interval_percent"].dump(), "[0.8,1.2]");
  EXPECT_TRUE(json["strategies"][0]["quality_loss_interval_percent"].is_null());
}

TEST(Summary, IsWrittenWholeBesideItsDetails) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("summary." + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  write_summary(folder.string(), example());
  EXPECT_EQ(read_json_file((folder / "summary.json").string()), to_json(example()));
  const auto details = read_json_file((folder / "details.json").string());
  EXPECT_EQ(details["strategies"][1]["fallback_reasons"][0],
            "BASELINE: power sensor frozen for 1.2 s");
  std::filesystem::remove_all(folder);
  EXPECT_THROW(write_summary(folder.string(), example()), WriteError);
}

TEST(Summary, WhatIsNotKnownOfTheEnergyIsNullAndADash) {
  Summary summary = example();
  summary.strategies[1].energy_share = 0.0;
  summary.strategies[1].joules_per_token.reset();
  const auto ttha = to_json(summary)["strategies"][1];
  EXPECT_TRUE(ttha["mean_power_w"].is_null());
  EXPECT_TRUE(ttha["joules_per_token"].is_null());
  EXPECT_THAT(summary_table(summary), testing::ContainsRegex("KERNEL_AWARE_TTHA +1000 +- +- "));
  EXPECT_THAT(notes(summary), testing::Contains(testing::HasSubstr("its energy is not known: ")));
}

TEST(Summary, NotesSayWhatARealMachineDid) {
  Summary summary = example();
  EXPECT_THAT(notes(summary), testing::SizeIs(1)) << "the fallback";
  StrategySummary& s = summary.strategies[0];
  s.late_share = 0.02;
  s.late_decision_share = 0.005;
  s.energy_share = 0.9;
  s.near_ties = 3;
  EXPECT_THAT(
      notes(summary),
      testing::IsSupersetOf(
          {"BASELINE: 2.0 % of the steps began late",
           "BASELINE: in 0.5 % of the ticks the controller was still busy with an earlier one: the "
           "plan in force stayed",
           "BASELINE: for 10.0 % of the time its energy is not known: power and J/token are those "
           "of the rest",
           "BASELINE: 3 picks of CPU and GPU differed between experts whose scores are as good as "
           "equal, which the contract allows"}));
  const auto details = details_json(summary)["strategies"][0];
  EXPECT_EQ(details["late_decision_share"], 0.005);
  EXPECT_EQ(details["energy_share"], 0.9);
  EXPECT_EQ(details["near_ties"], 3);
}

TEST(Summary, OneNoteSaysWhichStrategiesLeftTheProfiledLoadsAndHowOften) {
  Summary summary = example();
  const auto note = [&](double first, double second) {
    summary.strategies[0].extrapolated_share = first;
    summary.strategies[1].extrapolated_share = second;
    return notes(summary).back();
  };
  EXPECT_THAT(note(0.2, 0.9), testing::StartsWith("BASELINE, KERNEL_AWARE_TTHA: 20 to 90 % of the "
                                                  "ticks ran at loads beyond the simulated"));
  EXPECT_THAT(note(1.0, 0.999), testing::HasSubstr(": 100 % of the ticks"));
  EXPECT_THAT(note(0.0, 0.3), testing::StartsWith("KERNEL_AWARE_TTHA: 30 % of the ticks"));
}

/// The table with its wrapped sentences in one line each.
std::string unwrapped(const Summary& summary) {
  std::string table = summary_table(summary);
  for (std::size_t at = 0; (at = table.find("\n  ", at)) != std::string::npos;) {
    table.replace(at, 3, " ");
  }
  return table;
}

TEST(Summary, TheTableIsAlignedAndSaysWhatIsSimulated) {
  const std::string table = summary_table(example());
  std::istringstream in(table);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  ASSERT_GE(lines.size(), 10U);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(lines[i].size(), lines[0].size());
  EXPECT_EQ(lines[4], "");
  for (std::size_t i = 6; i < 9; ++i) EXPECT_EQ(lines[i].size(), lines[5].size());
  for (const std::string& line : lines) EXPECT_LE(line.size(), 110U);
  EXPECT_THAT(lines[0], testing::StartsWith("GPU (simulated)"));
  EXPECT_THAT(table, testing::ContainsRegex("1.1 % +35.2 %"));
  EXPECT_THAT(table, testing::ContainsRegex("\\+1.00 % +\\+0.80..\\+1.20 %"));
  EXPECT_THAT(table, testing::HasSubstr("Machine: simulated NVIDIA H100 80GB HBM3"));
  EXPECT_THAT(
      unwrapped(example()),
      testing::HasSubstr("decisions: shipped model; costs: Qwen3-30B-A3B shape, simulated"));
  EXPECT_THAT(unwrapped(example()),
              testing::HasSubstr("fell back 1 time, 2.0 % of the run, to BASELINE: power sensor"));
}

TEST(Summary, TheTablesIntervalOfBaselineAgainstItselfIsADash) {
  Summary summary = example();
  summary.strategies.front().baseline_bits_per_byte = summary.strategies.front().bits_per_byte =
      1.2;
  summary.strategies.front().loss_interval = Interval{.low = 0.0, .high = 0.0};
  EXPECT_THAT(summary_table(summary), testing::ContainsRegex("BASELINE .* \\+0.00 % +-  "));
  summary.strategies.front().name = "BASELINE #2";
  EXPECT_THAT(summary_table(summary), testing::ContainsRegex("BASELINE #2 .* \\+0.00 % +-  "));
}

TEST(Summary, WhereNoTextWasDecodedTheTableHasKeptMassAndNats) {
  Summary summary = example();
  for (StrategySummary& s : summary.strategies) {
    s.bits_per_byte.reset();
    s.baseline_bits_per_byte.reset();
    s.loss_interval.reset();
    s.kept_mass = 0.9712;
    s.quality_loss = 0.0321;
  }
  const std::string table = unwrapped(summary);
  EXPECT_THAT(table, testing::ContainsRegex("quality +active experts +kept mass +loss, nats"));
  EXPECT_THAT(table, testing::ContainsRegex("KERNEL_AWARE_TTHA +0.0 +97.12 % +0.0321"));
  EXPECT_THAT(table, testing::HasSubstr("no text was decoded: there are no bits/byte."));
  EXPECT_THAT(table, testing::Not(testing::HasSubstr("Against BASELINE")));
  EXPECT_TRUE(to_json(summary)["strategies"][1]["bits_per_byte"].is_null());
  EXPECT_EQ(to_json(summary)["strategies"][1]["quality_loss_nats"], 0.0321);
  EXPECT_THAT(summary_table(example()), testing::Not(testing::HasSubstr("kept mass")));
}

TEST(Summary, TheTableDefinesWhatItCounts) {
  Summary summary = example();
  summary.strategies.front().targets = summary.strategies.back().targets;
  const std::string table = unwrapped(summary);
  EXPECT_THAT(table, testing::HasSubstr("exceeds 1.05 x the target (temperature: by 1 degree); "
                                        "above target: the same for the target itself"));
  EXPECT_THAT(table, testing::HasSubstr("95 % interval over the choice of text"));
  for (StrategySummary& s : summary.strategies) {
    s.targets.clear();
    s.baseline_bits_per_byte.reset();
  }
  EXPECT_THAT(summary_table(summary), testing::Not(testing::HasSubstr("1.05")));
  EXPECT_THAT(summary_table(summary), testing::Not(testing::HasSubstr("95 % interval over")));
}

}  // namespace
}  // namespace thermoe
