// SPDX-License-Identifier: Apache-2.0
// Files that are no sound exports: each is refused by name, none is believed, none crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/errors.h"
#include "export_builder.h"
#include "profile/parse_profiler_output.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t kPage = 4096;

void put(std::string& bytes, std::size_t at, std::uint32_t value, int size) {
  for (int i = 0; i < size; ++i) {
    bytes[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * (size - 1 - i)));
  }
}

/// A database whose table of one leaf becomes a tree of 500 leaves, all of them that one.
std::string with_one_leaf_many_times(std::string bytes, std::size_t root) {
  const std::size_t begin = (root - 1) * kPage;
  bytes += bytes.substr(begin, kPage);
  const auto leaf = static_cast<std::uint32_t>(bytes.size() / kPage);
  put(bytes, 28, leaf, 4);  // pages of the file
  bytes.replace(begin, kPage, std::string(kPage, '\0'));
  constexpr std::uint32_t kCells = 500, kCell = 6, kFirst = kPage - kCells * kCell;
  bytes[begin] = 5;  // an inner page of a table
  put(bytes, begin + 3, kCells, 2);
  put(bytes, begin + 5, kFirst, 2);
  put(bytes, begin + 8, leaf, 4);
  for (std::uint32_t i = 0; i < kCells; ++i) {
    put(bytes, begin + 12 + 2 * i, kFirst + kCell * i, 2);
    put(bytes, begin + kFirst + kCell * i, leaf, 4);
    put(bytes, begin + kFirst + kCell * i + 4, 0x8100U + (i / 128) * 0x100U + i % 128, 2);
  }
  return bytes;
}

class HostileExport : public ::testing::Test {
 protected:
  /// What parsing the file says is wrong with it.
  static std::string refusal(const std::string& path) {
    try {
      parse_profiler_output(path);
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path));
      return error.what();
    }
    return "taken";
  }
  std::string refusal() const { return refusal(path_); }

  std::string sound_export() const {
    const std::string path = folder_ / "sound.sqlite";
    {
      ExportBuilder builder(path);
      builder.with_all().string(1, "kernel").range({.start = 0, .end = 9000, .text = "'fc1'"});
      for (int i = 0; i < 200; ++i) {
        builder.call({.start = 10 * i, .end = 10 * i + 5, .correlation = i});
        builder.kernel({.start = 100 * i, .end = 100 * i + 50, .correlation = i});
      }
    }
    return path;
  }

  ScratchFolder folder_{};
  std::string path_ = folder_ / "export.sqlite";
};

TEST_F(HostileExport, FilesThatHoldNothingAreRefused) {
  EXPECT_THAT(refusal(folder_ / "none.sqlite"), HasSubstr("cannot be read"));
  EXPECT_THAT(refusal(folder_.write("empty.sqlite", "")), HasSubstr("is empty"));
  EXPECT_THAT(refusal(folder_ / ""), HasSubstr("is a folder"));
  EXPECT_THAT(refusal(folder_.write("wide.csv", "\xFF\xFE\"")), HasSubstr("is UTF-16"));
}

TEST_F(HostileExport, ReportsThatWereNotExportedNameTheCommand) {
  EXPECT_THAT(refusal(folder_.write("a.nsys-rep", std::string("\0\1\2", 3))),
              HasSubstr("nsys export --type sqlite"));
  EXPECT_THAT(refusal(folder_.write("a.ncu-rep", std::string("NVR\0", 4))),
              HasSubstr("ncu --import"));
}

TEST_F(HostileExport, ATruncatedExportIsRefusedWherverItWasCut) {
  const std::string whole = bytes_of(sound_export());
  for (const std::size_t size : {std::size_t{50}, std::size_t{99}, std::size_t{100},
                                 whole.size() / 3, whole.size() / 2, whole.size() - 1}) {
    EXPECT_THAT(refusal(folder_.write("cut.sqlite", whole.substr(0, size))),
                HasSubstr("is truncated"))
        << size;
  }
}

TEST_F(HostileExport, AnEncryptedDatabaseIsRefused) {
  std::string bytes = bytes_of(sound_export());
  std::mt19937 random(12);
  for (char& byte : bytes) byte = static_cast<char>(random());
  EXPECT_THAT(refusal(folder_.write("all.sqlite", bytes)), HasSubstr("encrypted"));
  // Some keep the first 16 bytes as they are.
  bytes.replace(0, 16, std::string("SQLite format 3\0", 16));
  EXPECT_NE(refusal(folder_.write("body.sqlite", bytes)), "taken");
}

TEST_F(HostileExport, AnotherDatabaseIsNoExport) {
  ExportBuilder(path_).exec("CREATE TABLE people (name TEXT)");
  EXPECT_THAT(refusal(), HasSubstr("no export of nsys"));
}

TEST_F(HostileExport, AKernelTableWithoutItsTimesIsNamed) {
  ExportBuilder(path_).with_meta().exec(
      "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, demangledName INTEGER)");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("CUPTI_ACTIVITY_KIND_KERNEL"), HasSubstr("end")));
}

TEST_F(HostileExport, AViewInPlaceOfATableIsNotRun) {
  ExportBuilder(path_).with_meta().exec(
      "CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
      "i + 1 FROM n) SELECT i AS start, i AS end, 1 AS demangledName FROM n");
  EXPECT_THAT(refusal(), HasSubstr("is a view"));
}

TEST_F(HostileExport, AVirtualTableIsNotRun) {
  try {
    ExportBuilder(path_).with_meta().exec("CREATE VIRTUAL TABLE StringIds USING fts5(id, value)");
  } catch (const std::runtime_error&) {
    GTEST_SKIP() << "this SQLite has no fts5";
  }
  EXPECT_THAT(refusal(), HasSubstr("is a virtual table"));
}

TEST_F(HostileExport, AColumnThatComputesIsNotRun) {
  ExportBuilder(path_).with_meta().exec(
      "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end AS (start + length(zeroblob("
      "9999999))), demangledName INTEGER)");
  EXPECT_THAT(refusal(), HasSubstr("computes its column end"));
}

TEST_F(HostileExport, TriggersDoNotMatterAsNothingIsWritten) {
  ExportBuilder(path_)
      .with_all()
      .string(1, "k")
      .kernel({.start = 1, .end = 2})
      .exec("CREATE TRIGGER t AFTER INSERT ON StringIds BEGIN DELETE FROM StringIds; END");
  const std::string before = bytes_of(path_);
  EXPECT_EQ(refusal(), "taken");
  EXPECT_EQ(bytes_of(path_), before);
}

TEST_F(HostileExport, TextWhereANumberBelongsIsNamedWithItsRow) {
  ExportBuilder(path_)
      .with_all()
      .kernel({.start = 1, .end = 2})
      .exec(
          "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL SELECT 'soon', end, deviceId, contextId, NULL, "
          "streamId, correlationId, globalPid, demangledName, shortName, NULL, 1, 1, 1, 1, 1, 1, "
          "1, 1, "
          "NULL FROM CUPTI_ACTIVITY_KIND_KERNEL");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("CUPTI_ACTIVITY_KIND_KERNEL.start, row 2"),
                               HasSubstr("is text, must be a whole number")));
}

TEST_F(HostileExport, BlobsWhereTextBelongsAndLargeOnesAreRefused) {
  ExportBuilder(path_)
      .with_all()
      .exec("INSERT INTO StringIds VALUES (1, zeroblob(20000000))")
      .kernel({.start = 1, .end = 2});
  EXPECT_THAT(refusal(), HasSubstr("StringIds"));
}

TEST_F(HostileExport, ANameOfManyMegabytesIsRefused) {
  ExportBuilder(path_)
      .with_all()
      .exec(
          "INSERT INTO StringIds VALUES (1, CAST(replace(hex(zeroblob(9000000)), '0', 'x') AS "
          "TEXT))")
      .kernel({.start = 1, .end = 2});
  EXPECT_THAT(refusal(), HasSubstr("more than 16 MiB"));
}

TEST_F(HostileExport, AKernelThatEndsBeforeItStartsIsNamed) {
  ExportBuilder(path_).with_all().kernel({.start = 9, .end = 4});
  EXPECT_THAT(refusal(),
              HasSubstr("CUPTI_ACTIVITY_KIND_KERNEL.end, row 1: is 4, before its start 9"));
}

TEST_F(HostileExport, TimesWhoseDifferenceIsNoNumberAreRefused) {
  ExportBuilder(path_).with_all().kernel({.start = INT64_MIN, .end = INT64_MAX});
  EXPECT_NE(refusal(), "taken");
}

TEST_F(HostileExport, TimesWhoseSumIsNoNumberAreRefused) {
  ExportBuilder(path_)
      .with_all()
      .kernel({.start = 0, .end = INT64_MAX - 5})
      .kernel({.start = 0, .end = INT64_MAX - 5});
  EXPECT_THAT(refusal(), HasSubstr("more than 2^63 ns"));
}

TEST_F(HostileExport, ALeafThatATreeHoldsManyTimesDoesNotMakeRowsWithoutEnd) {
  {
    ExportBuilder builder(path_);
    builder.exec(
        "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, shortName INTEGER)");
    for (int i = 0; i < 200; ++i) {
      builder.exec("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (1, 1, 1)");
    }
  }
  EXPECT_EQ(refusal(), "taken");
  // The first page is the schema's.
  EXPECT_THAT(refusal(folder_.write("tree.sqlite", with_one_leaf_many_times(bytes_of(path_), 2))),
              HasSubstr("one more than a file of its size can hold"));
}

TEST_F(HostileExport, ADatabaseStillBeingWrittenIsRefused) {
  const std::string path = sound_export();
  EXPECT_EQ(refusal(path), "taken");
  folder_.write("sound.sqlite-wal", "frames");
  EXPECT_THAT(refusal(path), HasSubstr("still being written"));
}

TEST_F(HostileExport, APathOfAnyBytesIsOpenedAsItIs) {
  const std::string path =
      folder_.write("a%41?#caf\xE9 &mode=rwc.sqlite", bytes_of(sound_export()));
  EXPECT_EQ(refusal(path), "taken");
}

TEST_F(HostileExport, BytesThatFlippedAreRefusedOrReadButNeverCrash) {
  const std::string sound = bytes_of(sound_export());
  std::mt19937 random(12);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = sound;
    for (int flips = 0; flips < 4; ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (i % 2 == 0) bytes[100 + random() % 60] = static_cast<char>(random());
    refused += refusal(folder_.write("flipped.sqlite", bytes)) == "taken" ? 0 : 1;
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace thermoe
