// SPDX-License-Identifier: Apache-2.0
#include "profile/nsys_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/errors.h"
#include "export_builder.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::int64_t kMs = 1'000'000;

class NsysExport : public ::testing::Test {
 protected:
  ParsedProfile parse(const ParseOptions& options = {}) const {
    return parse_nsys_export(path_, options);
  }
  static std::optional<std::string> op_of_only(const ParsedProfile& profile) {
    EXPECT_EQ(profile.kernels.size(), 1U);
    return profile.kernels.front().op;
  }

  ScratchFolder folder_{};
  std::string path_ = folder_ / "export.sqlite";
};

TEST_F(NsysExport, AKernelBelongsToTheInnermostOwnRangeAroundItsLaunch) {
  ExportBuilder(path_)
      .with_all()
      .string(1, "void fc1_kernel<int>(int)")
      .domain(3, "thermoe")
      .domain(4, "cub")
      .range({.start = 0, .end = 100, .text = "'layer'", .domain = 3})
      .range({.start = 10, .end = 50, .text = "'fc1'", .domain = 3})
      .range({.start = 15, .end = 30, .text = "'cub::Sum'", .domain = 4})
      .range({.start = 16, .end = 30, .text = "'of the user'", .domain = 0})
      .call({.start = 18, .end = 20, .correlation = 9})
      .kernel({.start = 40, .end = 1040, .correlation = 9});
  const ParsedProfile profile = parse();
  ASSERT_EQ(profile.kernels.size(), 1U);
  const KernelRecord& kernel = profile.kernels.front();
  EXPECT_EQ(kernel.op, "fc1");
  EXPECT_EQ(kernel.name, "void fc1_kernel<int>(int)");
  EXPECT_EQ(kernel.count, 1);
  EXPECT_EQ(kernel.total_ns, 1000);
  EXPECT_EQ(kernel.grid, (Extent{132, 1, 1}));
  EXPECT_EQ(kernel.block, (Extent{256, 1, 1}));
  EXPECT_EQ(kernel.registers, 32);
  EXPECT_EQ(profile.orphan_kernels, 0);
  EXPECT_EQ(profile.version, "2025.3.1.90");
  EXPECT_THAT(profile.devices, ElementsAre("NVIDIA H100 80GB HBM3"));
  EXPECT_EQ(profile.ranges.size(), 2U);
  EXPECT_EQ(profile.ranges.front().name, "fc1");
  EXPECT_EQ(profile.ranges.front().kernel_ns, 1000);
}

TEST_F(NsysExport, TheTextOfARangeMayBeAnIdOfStringIds) {
  ExportBuilder(path_)
      .with_all()
      .string(1, "k")
      .string(80, "fc2")
      .range({.start = 10, .end = 50, .text = "NULL", .text_id = "80"})
      .call({.start = 18, .end = 20, .correlation = 9})
      .kernel({.start = 40, .end = 50, .correlation = 9});
  EXPECT_EQ(op_of_only(parse()), "fc2");
}

TEST_F(NsysExport, WithoutADomainOfOursTheUsersOwnRangesNameOps) {
  ExportBuilder(path_)
      .with_all()
      .domain(1, "cub")
      .range({.start = 10, .end = 50, .text = "'step'"})
      .range({.start = 11, .end = 40, .text = "'cub::Sum'", .domain = 1})
      .call({.start = 18, .end = 20, .correlation = 9})
      .kernel({.start = 40, .end = 50, .correlation = 9});
  EXPECT_EQ(op_of_only(parse()), "step");
  EXPECT_EQ(op_of_only(parse({.domain = "cub"})), "cub::Sum");
  try {
    parse({.domain = "moe"});
    FAIL() << "took a domain that is not there";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("has no domain \"moe\"; it has: cub, default"));
  }
}

TEST_F(NsysExport, ADomainNumberMeansSomethingWithinItsProcessOnly) {
  ExportBuilder(path_)
      .with_all()
      .domain(1, "thermoe")
      .domain(1, "cub", ExportBuilder::kOtherProcess + 1)
      .range({.start = 10,
              .end = 50,
              .text = "'cub::Sum'",
              .domain = 1,
              .thread = ExportBuilder::kOtherProcess + 1})
      .call({.start = 18, .end = 20, .correlation = 9, .thread = ExportBuilder::kOtherProcess + 1})
      .kernel({.start = 40, .end = 50, .correlation = 9, .process = ExportBuilder::kOtherProcess});
  EXPECT_EQ(op_of_only(parse()), std::nullopt);
}

TEST_F(NsysExport, EqualCorrelationIdsOfTwoProcessesAreTwoLaunches) {
  ExportBuilder(path_)
      .with_all()
      .string(1, "a")
      .string(2, "b")
      .range({.start = 0, .end = 50, .text = "'first'"})
      .range(
          {.start = 0, .end = 50, .text = "'second'", .thread = ExportBuilder::kOtherProcess + 1})
      .call({.start = 1, .end = 2, .correlation = 9})
      .call({.start = 1, .end = 2, .correlation = 9, .thread = ExportBuilder::kOtherProcess + 1})
      .kernel({.start = 40, .end = 50, .correlation = 9, .name = 1})
      .kernel({.start = 40,
               .end = 60,
               .correlation = 9,
               .process = ExportBuilder::kOtherProcess,
               .name = 2});
  const ParsedProfile profile = parse();
  ASSERT_EQ(profile.kernels.size(), 2U);
  EXPECT_EQ(profile.kernels[0].name, "b");
  EXPECT_EQ(profile.kernels[0].op, "second");
  EXPECT_EQ(profile.kernels[1].name, "a");
  EXPECT_EQ(profile.kernels[1].op, "first");
}

TEST_F(NsysExport, BackTracesOfACallAreNoCalls) {
  ExportBuilder(path_)
      .with_all()
      .range({.start = 0, .end = 50, .text = "'wrong'", .thread = ExportBuilder::kProcess + 2})
      .call({.start = 1,
             .end = 2,
             .correlation = 9,
             .thread = ExportBuilder::kProcess + 2,
             .event_class = 67})
      .kernel({.start = 40, .end = 50, .correlation = 9});
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.kernels.front().count, 1);
  EXPECT_EQ(profile.kernels.front().op, std::nullopt);
  EXPECT_EQ(profile.orphan_kernels, 1);
}

TEST_F(NsysExport, TheRuntimesAndTheDriversCallOfALaunchCountItOnce) {
  ExportBuilder(path_)
      .with_all()
      .range({.start = 0, .end = 50, .text = "'fc1'"})
      .call({.start = 2, .end = 3, .correlation = 9, .event_class = 1})
      .call({.start = 1, .end = 4, .correlation = 9, .event_class = 0})
      .kernel({.start = 40, .end = 50, .correlation = 9});
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.kernels.front().count, 1);
  EXPECT_EQ(op_of_only(profile), "fc1");
}

TEST_F(NsysExport, KernelsWithoutALaunchAreCountedAndHaveNoOp) {
  ExportBuilder(path_)
      .with_all()
      .range({.start = 0, .end = 500, .text = "'fc1'"})
      .call({.start = 1, .end = 4, .correlation = 9})
      .kernel({.start = 40, .end = 50, .correlation = 9})
      .kernel({.start = 60, .end = 75, .correlation = 10})
      .kernel({.start = 80, .end = 85, .correlation = 11});
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.orphan_kernels, 2);
  ASSERT_EQ(profile.kernels.size(), 2U);
  EXPECT_EQ(profile.kernels[0].op, std::nullopt);
  EXPECT_EQ(profile.kernels[0].count, 2);
  EXPECT_EQ(profile.kernels[0].min_ns, 5);
  EXPECT_EQ(profile.kernels[0].max_ns, 15);
}

TEST_F(NsysExport, ARangeThatNeverEndedHoldsWhatCameAfterItsStart) {
  ExportBuilder(path_)
      .with_all()
      .exec(
          "INSERT INTO NVTX_EVENTS (start, eventType, text, globalTid, domainId) VALUES"
          "(5, 59, 'open', " +
          std::to_string(ExportBuilder::kProcess + 1) + ", 0)")
      .call({.start = 18, .end = 20, .correlation = 9})
      .kernel({.start = 40, .end = 50, .correlation = 9});
  const ParsedProfile profile = parse();
  EXPECT_EQ(op_of_only(profile), "open");
  EXPECT_EQ(profile.ranges.front().total_ns, std::nullopt);
}

TEST_F(NsysExport, TablesThatAreNotThereAreNamed) {
  ExportBuilder(path_).with_meta().with_strings().with_kernels().kernel({.start = 1, .end = 3});
  const ParsedProfile profile = parse();
  EXPECT_THAT(profile.missing,
              ElementsAre("TARGET_INFO_GPU", "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS",
                          "StringIds: the names of 1 kernels", "GPU_METRICS"));
  EXPECT_EQ(profile.orphan_kernels, 1);
  EXPECT_EQ(profile.kernels.front().name, std::nullopt);
  EXPECT_EQ(profile.kernels.front().energy, std::nullopt);
}

TEST_F(NsysExport, ColumnsThatAnOlderNsysDoesNotWriteAreNamedAndAbsent) {
  ExportBuilder(path_)
      .with_meta("EXPORT_META_DATA")
      .with_strings()
      .exec(
          "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, shortName INTEGER);"
          "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (5, 8, 1); INSERT INTO StringIds VALUES "
          "(1, "
          "'k')");
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.version, "2025.3.1.90");
  EXPECT_EQ(profile.kernels.front().name, "k");
  EXPECT_EQ(profile.kernels.front().grid, std::nullopt);
  EXPECT_EQ(profile.kernels.front().registers, std::nullopt);
  EXPECT_THAT(profile.missing, Contains("CUPTI_ACTIVITY_KIND_KERNEL.registersPerThread"));
}

TEST_F(NsysExport, WithoutKernelsThereIsNothingAndItIsSaid) {
  ExportBuilder(path_).with_meta().with_strings();
  const ParsedProfile profile = parse();
  EXPECT_THAT(profile.kernels, IsEmpty());
  EXPECT_THAT(profile.missing, Contains("CUPTI_ACTIVITY_KIND_KERNEL"));
}

constexpr const char* kGraphTrace =
    "CREATE TABLE CUPTI_ACTIVITY_KIND_GRAPH_TRACE (start INTEGER, end INTEGER, graphId INTEGER);"
    "INSERT INTO CUPTI_ACTIVITY_KIND_GRAPH_TRACE VALUES (1, 2, 3), (4, 5, 3)";

TEST_F(NsysExport, GraphsRecordedAsAWholeAreRefusedWithTheRemedy) {
  ExportBuilder(path_).with_meta().with_strings().exec(kGraphTrace);
  try {
    parse();
    FAIL() << "took a graph for nothing";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("2 launches of CUDA graphs"));
    EXPECT_THAT(error.what(), HasSubstr("--cuda-graph-trace=node"));
  }
}

TEST_F(NsysExport, GraphsRecordedAsAWholeBesideKernelsAreMissing) {
  ExportBuilder(path_).with_all().exec(kGraphTrace).kernel({.start = 1, .end = 3});
  EXPECT_THAT(parse().missing, Contains(HasSubstr("the kernels of 2 launches of CUDA graphs")));
}

TEST_F(NsysExport, AllKernelsOfAGraphRecordedByNodeBelongToItsLaunch) {
  ExportBuilder builder(path_);
  builder.with_all()
      .range({.start = 0, .end = 50, .text = "'step'"})
      .call({.start = 1, .end = 2, .correlation = 9});
  for (int i = 0; i < 5; ++i) builder.kernel({.start = 60 + i, .end = 70 + i, .correlation = 9});
  builder.exec("UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET graphNodeId = rowid");
  builder.exec("COMMIT; BEGIN");
  const ParsedProfile profile = parse();
  EXPECT_EQ(op_of_only(profile), "step");
  EXPECT_EQ(profile.kernels.front().count, 5);
  EXPECT_EQ(profile.ranges.front().kernels, 5);
}

void add_metrics(ExportBuilder& builder, const std::string& metrics) {
  builder.exec(
      "CREATE TABLE GPU_METRICS (rawTimestamp INTEGER, timestamp INTEGER, typeId INTEGER NOT NULL,"
      "metricId INTEGER NOT NULL, value INTEGER NOT NULL);"
      "CREATE TABLE TARGET_INFO_GPU_METRICS (typeId INTEGER NOT NULL, sourceId INTEGER NOT NULL,"
      "typeName TEXT NOT NULL, metricId INTEGER NOT NULL, metricName TEXT NOT NULL);"
      "INSERT INTO TARGET_INFO_GPU_METRICS VALUES " +
      metrics);
}

/// One kernel of 10 ms from 10 ms on.
ExportBuilder& add_long_kernel(ExportBuilder& builder) {
  return builder.with_all().kernel({.start = 10 * kMs, .end = 20 * kMs, .correlation = 9});
}

TEST_F(NsysExport, SamplesAreMergedByTime) {
  {
    ExportBuilder builder(path_);
    add_long_kernel(builder);
    add_metrics(builder,
                "(256,0,'t',1,'GPU Power [mW]'), (256,0,'t',2,'GPU Temperature [C]'),"
                "(256,0,'t',3,'Power Limit [W]'), (512,0,'other type',1,'SM Active [%]')");
    for (const int ms : {0, 10, 20, 30}) {
      builder.exec(
          fmt::format("INSERT INTO GPU_METRICS VALUES (0, {0}, 256, 1, {1}),"
                      "(0, {0}, 256, 2, {2}), (0, {0}, 256, 3, 700), (0, {0}, 512, 1, 5)",
                      ms * kMs, 1000 * (300 + 10 * ms), 50 + ms));
    }
  }
  const ParsedProfile profile = parse();
  const KernelRecord& kernel = profile.kernels.front();
  // From 400 W at 10 ms to 500 W at 20 ms.
  EXPECT_NEAR(kernel.mean_power->value, 450.0, 1e-9);
  EXPECT_NEAR(kernel.energy->value, 4.5, 1e-9);
  EXPECT_NEAR(kernel.mean_temperature->value, 65.0, 1e-9);
  EXPECT_THAT(profile.missing, Not(Contains(StartsWith("GPU_METRICS"))));
}

TEST_F(NsysExport, WhatSamplesDoNotCoverHasNoEnergy) {
  {
    ExportBuilder builder(path_);
    add_long_kernel(builder).kernel({.start = 25 * kMs, .end = 35 * kMs, .correlation = 10});
    add_metrics(builder, "(256,0,'t',1,'GPU Power [W]')");
    builder.exec(
        fmt::format("INSERT INTO GPU_METRICS VALUES (0, 0, 256, 1, 300),"
                    "(0, {}, 256, 1, 300)",
                    30 * kMs));
  }
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.kernels.front().count, 2);
  EXPECT_EQ(profile.kernels.front().energy, std::nullopt);
  EXPECT_NEAR(profile.kernels.front().mean_power->value, 300.0, 1e-9);
}

TEST_F(NsysExport, APowerWithoutAUnitIsNotGuessed) {
  {
    ExportBuilder builder(path_);
    add_long_kernel(builder);
    add_metrics(builder, "(256,0,'t',1,'GPU Power')");
    builder.exec("INSERT INTO GPU_METRICS VALUES (0, 0, 256, 1, 300), (0, 90000000, 256, 1, 300)");
  }
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.kernels.front().energy, std::nullopt);
  EXPECT_THAT(profile.missing, Contains(HasSubstr("\"GPU Power\": says no unit")));
}

TEST_F(NsysExport, OfSeveralGpusNoneIsGuessedToBeTheSampledOne) {
  {
    ExportBuilder builder(path_);
    add_long_kernel(builder).exec("INSERT INTO TARGET_INFO_GPU VALUES (0, 1, 'another')");
    add_metrics(builder, "(257,0,'t',1,'power_w')");
    builder.exec("INSERT INTO GPU_METRICS VALUES (0, 0, 257, 1, 300), (0, 90000000, 257, 1, 300)");
  }
  const ParsedProfile profile = parse();
  EXPECT_EQ(profile.kernels.front().energy, std::nullopt);
  EXPECT_THAT(profile.missing, Contains(HasSubstr("does not say which deviceId GPU 1 is")));
}

TEST_F(NsysExport, SamplesOfTwoGpusGoToTheirOwnKernels) {
  {
    ExportBuilder builder(path_);
    builder.with_all()
        .string(1, "on device 0")
        .string(2, "on device 1")
        .kernel({.start = 10 * kMs, .end = 20 * kMs, .name = 1, .device = 0})
        .kernel({.start = 10 * kMs, .end = 20 * kMs, .name = 2, .device = 1})
        // What CUDA calls device 0 is nsys's GPU 1.
        .exec(
            "CREATE TABLE TARGET_INFO_CUDA_DEVICE (gpuId INTEGER, cudaId INTEGER, pid INTEGER);"
            "INSERT INTO TARGET_INFO_CUDA_DEVICE VALUES (1, 0, 5), (0, 1, 5)");
    add_metrics(builder, "(256,0,'t',1,'Power [W]'), (257,0,'t',1,'Power [W]')");
    for (const int ms : {0, 30}) {
      builder.exec(
          fmt::format("INSERT INTO GPU_METRICS VALUES (0, {0}, 256, 1, 100),"
                      "(0, {0}, 257, 1, 200)",
                      ms * kMs));
    }
  }
  const ParsedProfile profile = parse();
  for (const KernelRecord& kernel : profile.kernels) {
    EXPECT_NEAR(kernel.mean_power->value, kernel.name == "on device 0" ? 200.0 : 100.0, 1e-9);
  }
}

TEST_F(NsysExport, AnExecutionIsWhatOneRangeLaunchedFromFirstToLast) {
  ExportBuilder(path_)
      .with_all()
      .range({.start = 0, .end = 50, .text = "'fc1'"})
      .range({.start = 60, .end = 90, .text = "'fc1'"})
      .range({.start = 95, .end = 99, .text = "'fc1'"})
      .call({.start = 1, .end = 2, .correlation = 1})
      .call({.start = 3, .end = 4, .correlation = 2})
      .call({.start = 61, .end = 62, .correlation = 3})
      .kernel({.start = 200, .end = 250, .correlation = 2})
      .kernel({.start = 100, .end = 150, .correlation = 1})
      .kernel({.start = 300, .end = 310, .correlation = 3});
  const ParsedProfile profile = parse({.executions = true});
  ASSERT_EQ(profile.ranges.front().executions.size(), 2U);
  EXPECT_EQ(profile.ranges.front().executions[0].span_ns, 150);
  EXPECT_EQ(profile.ranges.front().executions[1].span_ns, 10);
  EXPECT_THAT(parse().ranges.front().executions, IsEmpty());
}

TEST_F(NsysExport, EveryKernelRowIsCountedOnceWhateverTheLaunchesLookLike) {
  std::mt19937 random(12);
  const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random()) % n; };
  const auto process = [&] {
    return below(2) == 0 ? ExportBuilder::kProcess : ExportBuilder::kOtherProcess;
  };
  constexpr int kKernels = 2000;
  std::int64_t total = 0;
  {
    ExportBuilder builder(path_);
    builder.with_all();
    for (int i = 0; i < 300; ++i) {
      const std::int64_t start = below(5000);
      builder.range({.start = start,
                     .end = start + below(400),
                     .text = fmt::format("'op {}'", below(7)),
                     .thread = ExportBuilder::kProcess + below(3)});
    }
    for (int i = 0; i < 3000; ++i) {
      const std::int64_t start = below(5000);
      builder.call({.start = start,
                    .end = start + 3,
                    .correlation = below(1500),
                    .thread = process() + below(3),
                    .event_class = below(5) == 0 ? 67 : static_cast<int>(below(2))});
    }
    for (int i = 0; i < kKernels; ++i) {
      const std::int64_t ns = 1 + below(1000);
      total += ns;
      builder.kernel({.start = i,
                      .end = i + ns,
                      .correlation = below(2000),
                      .process = process(),
                      .name = below(5),
                      .grid = static_cast<int>(1 + below(4))});
    }
  }
  const ParsedProfile profile = parse();
  std::int64_t count = 0, sum = 0, owned = 0;
  for (const KernelRecord& record : profile.kernels) {
    count += record.count;
    sum += *record.total_ns;
  }
  for (const RangeRecord& range : profile.ranges) owned += range.kernels;
  EXPECT_EQ(count, kKernels);
  EXPECT_EQ(sum, total);
  EXPECT_GT(owned, 0);
  EXPECT_GT(profile.orphan_kernels, 0);
  EXPECT_LT(profile.orphan_kernels + owned, kKernels + 1);
}

}  // namespace
}  // namespace thermoe
