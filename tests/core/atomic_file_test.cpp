// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/errors.h"

namespace thermoe {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class AtomicFile : public ::testing::Test {
 protected:
  AtomicFile() { fs::create_directories(folder_); }
  ~AtomicFile() override { fs::remove_all(folder_); }

  fs::path folder_ = fs::path(::testing::TempDir()) /
                     ("atomic_file_" + std::to_string(::getpid()) + "_" +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(AtomicFile, ReplacesWhatWasThere) {
  const std::string path = (folder_ / "a.json").string();
  write_file_atomically(path, "old");
  write_file_atomically(path, "new");
  EXPECT_EQ(content_of(path), "new");
}

TEST_F(AtomicFile, AFullDiskLeavesTheOldFileAndNoDebris) {
  const std::string path = (folder_ / "a.json").string();
  write_file_atomically(path, "old");
  // A file size limit fails writes as a full disk does, with another errno.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_file_atomically(path, std::string(100'000, 'x')), WriteError);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(content_of(path), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}), 1);
}

TEST_F(AtomicFile, WhatIsNoFileIsNotReplaced) {
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(write_file_atomically(pipe, "x"), WriteError);
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_THROW(write_file_atomically(folder_.string(), "x"), WriteError);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}), 1);
}

TEST_F(AtomicFile, ALinkIsFollowedAndStays) {
  const fs::path file = folder_ / "a.json";
  const fs::path link = folder_ / "link.json";
  write_file_atomically(file.string(), "old");
  fs::create_symlink(file, link);
  write_file_atomically(link.string(), "new");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(content_of(file), "new");
}

TEST_F(AtomicFile, AMissingFolderIsNamed) {
  EXPECT_THROW(write_file_atomically((folder_ / "no" / "a.json").string(), "x"), WriteError);
}

}  // namespace
}  // namespace thermoe
