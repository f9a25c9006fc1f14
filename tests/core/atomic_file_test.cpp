// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "core/errors.h"

namespace {

/// What fsync() is asked in this program, and what it answers for folders.
struct SyncedThings {
  bool watched = false;
  std::vector<std::string> order{};
  int folder_errno = 0;
};
SyncedThings synced;

}  // namespace

/// Stands before the C library's own.
extern "C" int fsync(int fd) {
  struct stat status {};
  const bool folder = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  if (synced.watched) synced.order.emplace_back(folder ? "folder" : "file");
  if (folder && synced.folder_errno != 0) {
    errno = synced.folder_errno;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

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
  ~AtomicFile() override {
    synced = {};
    fs::remove_all(folder_);
  }

  fs::perms mode(const std::string& name) const { return fs::status(folder_ / name).permissions(); }
  long files() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator{});
  }

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
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFile, WhatIsNoFileIsNotReplaced) {
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(write_file_atomically(pipe, "x"), WriteError);
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_THROW(write_file_atomically(folder_.string(), "x"), WriteError);
  EXPECT_EQ(files(), 1);
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

TEST_F(AtomicFile, ANewFilesModeIsTheUmasks) {
  for (const mode_t mask : {0022U, 0077U, 0002U}) {
    const mode_t before = ::umask(mask);
    const std::string name = "new" + std::to_string(mask);
    write_file_atomically((folder_ / name).string(), "x");
    ::umask(before);
    EXPECT_EQ(static_cast<unsigned>(mode(name)), 0666U & ~mask);
  }
}

TEST_F(AtomicFile, AFilesModeOutlivesItsReplacement) {
  const fs::path path = folder_ / "a.json";
  for (const unsigned bits : {0600U, 0664U, 0640U}) {
    write_file_atomically(path.string(), "old");
    fs::permissions(path, static_cast<fs::perms>(bits));
    write_file_atomically(path.string(), "new");
    EXPECT_EQ(static_cast<unsigned>(mode("a.json")), bits);
  }
}

TEST_F(AtomicFile, WritersAtOnceLeaveOneWholeFile) {
  const std::string path = (folder_ / "a.json").string();
  constexpr std::size_t kSize = 200'000;
  {
    std::vector<std::jthread> writers;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      writers.emplace_back([&, letter] {
        for (int i = 0; i < 20; ++i) write_file_atomically(path, std::string(kSize, letter));
      });
    }
  }
  const std::string content = content_of(path);
  ASSERT_EQ(content.size(), kSize);
  EXPECT_EQ(content.find_first_not_of(content[0]), std::string::npos) << "of one writer alone";
  EXPECT_EQ(files(), 1) << "no debris";
}

TEST_F(AtomicFile, ALeftoverOfTheSameProcessIdIsNotTouched) {
  const fs::path path = folder_ / "a.json";
  const fs::path leftover = path.string() + "." + std::to_string(::getpid()) + ".tmp";
  std::ofstream(leftover) << "somebody else's";
  write_file_atomically(path.string(), "new");
  EXPECT_EQ(content_of(leftover), "somebody else's");
}

TEST_F(AtomicFile, SyncsTheFileAndThenItsFolder) {
  synced.watched = true;
  write_file_atomically((folder_ / "a.json").string(), "x");
  EXPECT_EQ(synced.order, (std::vector<std::string>{"file", "folder"}));
}

TEST_F(AtomicFile, AFilesystemThatCannotSyncFoldersIsNoError) {
  const std::string path = (folder_ / "a.json").string();
  for (const int error : {EINVAL, ENOTSUP}) {
    synced.folder_errno = error;
    EXPECT_NO_THROW(write_file_atomically(path, "x"));
  }
  synced.folder_errno = EIO;
  EXPECT_THROW(write_file_atomically(path, "x"), WriteError);
}

TEST_F(AtomicFile, AMissingFolderIsNamed) {
  EXPECT_THROW(write_file_atomically((folder_ / "no" / "a.json").string(), "x"), WriteError);
}

}  // namespace
}  // namespace thermoe
