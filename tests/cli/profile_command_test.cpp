// SPDX-License-Identifier: Apache-2.0
// `thermoe profile` as a program, on the CPU at small shapes.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "core/json_file.h"
#include "scratch_file.h"
#include "stand_in_tools.h"
#include "terminal_process.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

PipedResult profile(const std::string& arguments) {
  return run_piped(fmt::format("{} profile {}", PROFILE_PROGRAM, arguments));
}

constexpr const char* kSmall = "--kernels cpu --shape 4 2 64 32 --context 8 --tokens 1 4";

std::size_t lines_of(const std::string& path) {
  const std::string text = bytes_of(path);
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(ProfileCommand, WritesWhatItMeasuredAndDoesNotMeasureItAgain) {
  const ScratchFolder folder;
  const std::string out = folder / "profile";
  const auto command = fmt::format("{} --executions 3 --out {}", kSmall, out);
  const PipedResult first = profile(command);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("fused_dequant_linear [64, 64] int4 group 64 tokens 4"),
                               HasSubstr("the host's steady clock")));
  const std::size_t lines = lines_of(out + "/records.jsonl");
  EXPECT_EQ(read_json_file(out + "/profile.json")["ranges"].size(), lines - 1);
  const PipedResult second = profile(command);
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_THAT(second.err, IsEmpty()) << "nothing was left to do";
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(lines_of(out + "/records.jsonl"), lines);
}

TEST(ProfileCommand, FilesAreMadeAgainFromRecordsWithoutMeasuring) {
  const ScratchFolder folder;
  const std::string out = folder / "profile";
  const auto command = fmt::format("{} --op fc2 --executions 3 --out {}", kSmall, out);
  ASSERT_EQ(profile(command).exit_code, 0);
  const std::string records = bytes_of(out + "/records.jsonl");
  const std::string made = bytes_of(out + "/profile.json");
  std::ofstream(out + "/profile.json") << "old";
  const PipedResult again = profile("--files-only --out " + out);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("no cost model of its own"));
  EXPECT_EQ(bytes_of(out + "/profile.json"), made);
  EXPECT_EQ(bytes_of(out + "/records.jsonl"), records);
  const PipedResult none = profile("--files-only --out " + (folder / "none"));
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("none/records.jsonl"));
}

TEST(ProfileCommand, EndedBySigtermItIsReadableAndGoesOn) {
  const ScratchFolder folder;
  const std::string out = folder / "profile";
  const std::string flags =
      fmt::format("{} --executions 100000 --op activation fc2 --out {}", kSmall, out);
  const PipedResult stopped =
      run_piped(fmt::format("{0} profile {1} & pid=$!; for i in $(seq 400); do [ \"$(cat "
                            "{2}/records.jsonl 2>/dev/null | wc "
                            "-l)\" -ge 3 ] && break; sleep 0.05; done; kill -TERM $pid; wait $pid",
                            PROFILE_PROGRAM, flags, out));
  const std::size_t had = lines_of(out + "/records.jsonl");
  EXPECT_GE(had, 3U);
  // A fast machine may have had all of them by then.
  if (stopped.exit_code != 0) {
    EXPECT_EQ(stopped.exit_code, 1);
    EXPECT_THAT(stopped.err, HasSubstr("the same command goes on from here"));
  }
  const PipedResult rest = profile(flags);
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_GE(lines_of(out + "/records.jsonl"), had);
  EXPECT_EQ(read_json_file(out + "/profile.json")["ranges"].size(),
            lines_of(out + "/records.jsonl") - 1);
}

TEST(ProfileCommand, AListPlansAndWritesNothing) {
  const ScratchFolder folder;
  const PipedResult result =
      profile(fmt::format("{} --list --budget 20ms --out {}", kSmall, folder / "p"));
  EXPECT_EQ(result.exit_code, 2) << "milliseconds are no budget";
  const PipedResult list =
      profile(fmt::format("{} --list --budget 0.05s --out {}", kSmall, folder / "p"));
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out,
              AllOf(HasSubstr("time "), HasSubstr("left out: "), HasSubstr("the budget ends")));
  EXPECT_THAT(bytes_of((folder / "p") + "/records.jsonl"), IsEmpty());
}

TEST(ProfileCommand, APlanForAGpuNeedsNone) {
  const PipedResult list = profile("--list --kernels cuda --energy --anchors 3 --thermal");
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(
      list.out,
      AllOf(HasSubstr("moe_experts [128, 8, 2048, 768] int4 group 128 tokens 256 active 128"),
            HasSubstr("energy "), HasSubstr("step response"),
            HasSubstr("left out: gate_up (9 points): the cuda backend has no dense")));
}

TEST(ProfileCommand, WhatCannotBeIsRefusedWithTheRemedy) {
  EXPECT_THAT(profile("--kernels cpu").err, HasSubstr("--out"));
  EXPECT_THAT(profile("--model Mixtral-8x7b --list").err, HasSubstr("did you mean Mixtral-8x7B?"));
  EXPECT_THAT(profile("--op fc3 --list").err, HasSubstr("did you mean fc1?"));
  EXPECT_THAT(profile("--budget soon --list").err, HasSubstr("such as 90s, 8m or 1h"));
  EXPECT_THAT(profile("--budget 8 --list").err, HasSubstr("a time and its unit"));
  EXPECT_THAT(profile("--step --energy --out x").err, HasSubstr("--energy goes without it"));
  EXPECT_THAT(profile("--shape 2 4 64 64 --list").err,
              HasSubstr("more experts a token than experts"));
  EXPECT_THAT(profile("--kernels cpu --shape 4 2 100 64 --list").err,
              HasSubstr("no group of 32, 64 or 128"));
  const ScratchFolder folder;
  const std::string out = folder / "profile";
  const auto command = fmt::format("{} --op fc2 --executions 1 --out {}", kSmall, out);
  EXPECT_EQ(profile(command).exit_code, 0);
  const PipedResult other = profile(command + " --seed 2");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("is of seed 1, and this run is of 2"));
  std::ofstream(out + "/records.jsonl", std::ios::app) << "nonsense\n";
  const PipedResult broken = profile(command);
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.err, HasSubstr("records.jsonl:"));
}

TEST(ProfileCommand, TheCostModelNamesTheModelsOfEarlierCommandsToo) {
  const ScratchFolder folder;
  const auto command =
      fmt::format("{} --op topk_route --executions 1 --out {}", kSmall, folder / "profile");
  ASSERT_EQ(profile(command).exit_code, 0);
  const std::string records = (folder / "profile") + "/records.jsonl";
  for (const char* point : {"moe_experts [4, 2, 64, 32] f32 tokens 1 active 1",
                            "moe_experts [128, 8, 2048, 768] f32 tokens 1 active 1"}) {
    std::ofstream(records, std::ios::app)
        << fmt::format(R"({{"kind":"time","point":"{0}","part":"expert_layer","source":"timed",)"
                       R"("spans_ns":[9000],"kernels":[]}})"
                       "\n"
                       R"({{"kind":"energy","point":"{0}","turn":0,"window_s":5,"executions":100,)"
                       R"("gross_j":500,"idle_w":40,"idle_change":0}})"
                       "\n",
                       point);
  }
  for (const std::string& again : {command, command + " --files-only"}) {
    EXPECT_EQ(profile(again).exit_code, 0);
    const auto models =
        read_json_file((folder / "profile") + "/kernel_cost_model.json")["models"].dump();
    EXPECT_THAT(models, AllOf(HasSubstr("own"), HasSubstr("Qwen3-30B-A3B"))) << again;
  }
}

TEST(ProfileCommand, UnderAProfilerItIsItsOwnChild) {
  const ScratchFolder folder;
  const StandInTools tools(folder);
  tools.nsys("none");
  const std::string path = fmt::format("PATH={}:/usr/bin:/bin", folder / "bin");
  const PipedResult seen = run_piped(
      fmt::format("{} {} profile --op fc1 fc2 --budget 4m --energy --with nsys --dry-run --out {}",
                  path, PROFILE_PROGRAM, folder / "out"));
  EXPECT_EQ(seen.exit_code, 0) << seen.err;
  EXPECT_THAT(seen.out, HasSubstr(fmt::format(
                            "{} profile --op fc1 fc2 --budget 4m --child --out {} --kernels cuda\n",
                            PROFILE_PROGRAM, folder / "out/nsys-child")));
}

TEST(ProfileCommand, AChildLeavesTimesToTheProfilerAndDoesNotFailForWantOfTime) {
  const ScratchFolder folder;
  const PipedResult result = profile(fmt::format(
      "{} --executions 2 --child --budget 0.001s --out {}", kSmall, folder / "profile"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("profile: left out"));
}

}  // namespace
}  // namespace thermoe
