// SPDX-License-Identifier: Apache-2.0
#include "doctor/data_probe.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "fake_system.h"
#include "without_roots_rights.h"

namespace thermoe::doctor {
namespace {

using testing::HasSubstr;

class DoctorData : public ::testing::Test {
 protected:
  Finding probe(const std::string& id) { return *find({probe_data(fake_.machine)}, id); }
  Finding browser() { return *find({probe_test_tools(fake_.machine)}, "browser"); }

  FakeSystem fake_;
};

TEST_F(DoctorData, FilesOfAClonesFolderAreFound) {
  fake_.add_usual_files();
  for (const char* id : {"data.model", "data.experiments", "data.costs", "data.text", "runs"}) {
    EXPECT_EQ(probe(id).status, Status::kFound) << id << ": " << probe(id).detail;
    EXPECT_TRUE(probe(id).needed) << id;
  }
  EXPECT_EQ(probe("data.experiments").value, "1 in experiments/");
}

TEST_F(DoctorData, ElsewhereTheyAreMissingAndTheRemedyIsToGoThere) {
  for (const char* id : {"data.model", "data.experiments", "data.costs", "data.text"}) {
    EXPECT_EQ(probe(id).status, Status::kMissing) << id;
    EXPECT_THAT(probe(id).detail, HasSubstr("current folder")) << id;
    EXPECT_THAT(probe(id).remedy, HasSubstr("clone")) << id;
  }
}

TEST_F(DoctorData, AModelThatIsNoModelIsBroken) {
  fake_.add_usual_files();
  const auto model = [&](const std::string& bytes) {
    fake_.file("/clone/model/thermoe-e128.safetensors", bytes);
    EXPECT_EQ(probe("data.model").status, Status::kBroken);
    return probe("data.model").detail;
  };
  EXPECT_THAT(model("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
              HasSubstr("Git LFS pointer"));
  EXPECT_THAT(model("<html>not what was asked for</html>"), HasSubstr("no safetensors"));
  EXPECT_THAT(model(""), HasSubstr("shorter"));
}

TEST_F(DoctorData, AMissingOrEmptyFileOfASetIsNamed) {
  fake_.add_usual_files();
  fake_.file("/clone/data/h100/plant.json", "");
  std::filesystem::remove(fake_.path("/clone/data/text/heldout.bin"));
  EXPECT_EQ(probe("data.costs").status, Status::kMissing);
  EXPECT_THAT(probe("data.costs").detail, testing::EndsWith(": data/h100/plant.json"));
  EXPECT_THAT(probe("data.text").detail, testing::EndsWith(": data/text/heldout.bin"));
}

TEST_F(DoctorData, AFolderThatMayNotBeWrittenIsSaid) {
  fake_.add_usual_files();
  std::filesystem::create_directories(fake_.path("/clone/runs"));
  EXPECT_EQ(probe("runs").status, Status::kFound);
  ::chmod(fake_.path("/clone/runs").c_str(), 0555);
  const WithoutRootsRights user;
  EXPECT_EQ(probe("runs").status, Status::kNotPermitted);
  EXPECT_THAT(probe("runs").detail, HasSubstr("runs/ cannot be written: Permission denied"));
  EXPECT_THAT(probe("runs").remedy, HasSubstr("--out"));
}

TEST_F(DoctorData, ChromiumIsOnlyForATest) {
  EXPECT_EQ(browser().status, Status::kMissing);
  EXPECT_FALSE(browser().needed);
  EXPECT_THAT(browser().remedy, HasSubstr("$ sudo apt install chromium"));
  fake_.program("/usr/bin/chromium", "echo 'Chromium 140.0.7339.80 built on Debian'");
  EXPECT_EQ(browser().status, Status::kFound);
  EXPECT_THAT(browser().value, HasSubstr("140.0.7339.80"));
}

}  // namespace
}  // namespace thermoe::doctor
