// SPDX-License-Identifier: Apache-2.0
#include "telemetry/host_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "without_roots_rights.h"

namespace thermoe {
namespace {

class HostFile : public ::testing::Test {
 protected:
  ~HostFile() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  static std::string fresh_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "host_file_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  const std::string folder_ = fresh_folder();
};

TEST_F(HostFile, ItsTextOrWhyThereIsNone) {
  EXPECT_EQ(read_host_file(file("there", "text \n")).text, "text");
  EXPECT_EQ(read_host_file(folder_ + "/absent").error, ENOENT);
  EXPECT_EQ(read_host_file(folder_ + "/there/below").error, ENOTDIR);
  EXPECT_EQ(read_host_file(folder_).error, EISDIR);
}

TEST_F(HostFile, AClosedOneSaysThatAPermissionIsMissing) {
  const std::string closed = file("closed", "7");
  ::chmod(closed.c_str(), 0);
  const WithoutRootsRights user;
  EXPECT_EQ(read_host_file(closed).error, EACCES);
  EXPECT_TRUE(read_host_number(closed).permission);
  EXPECT_EQ(read_host_number(closed).problem, "Permission denied");
}

TEST_F(HostFile, APipeWithoutAWriterIsNotWaitedFor) {
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0644), 0);
  EXPECT_EQ(read_host_file(pipe).text, "");
}

TEST_F(HostFile, ALongOneIsReadWholeAndAnEndlessOneInPart) {
  EXPECT_EQ(read_host_file(file("long", std::string(100'000, 'x'))).text->size(), 100'000U);
  const auto endless = read_host_file("/dev/zero").text;
  ASSERT_TRUE(endless);
  EXPECT_LE(endless->size(), (1U << 20U) + 4096U);
}

}  // namespace
}  // namespace thermoe
