// SPDX-License-Identifier: Apache-2.0
// `thermoe report` through the program: of real runs, of killed ones, of what is no run.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "experiment_run.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

std::string read(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

TEST(ReportCommand, BadInputExitsWithTwoAndOneLine) {
  const std::vector<std::vector<std::string>> bad = {{"report"},
                                                     {"report", "no/such/folder"},
                                                     {"report", "experiments"},
                                                     {"report", "experiments/demo.json"},
                                                     {"report", "a", "b", "c"}};
  for (const auto& arguments : bad) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const ProcessResult result = thermoe_process(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, testing::StartsWith("thermoe: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_THAT(thermoe_process({"report", "--help"}).out, HasSubstr("thermoe report runs/demo-1"));
}

class ReportCommandRuns : public ExperimentRun {};

TEST_F(ReportCommandRuns, ARunWritesItsReportAndNamesIt) {
  const ProcessResult result = run(short_demo(), {"--strategy", "BASELINE"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string path = folder() + "/report.html";
  EXPECT_THAT(result.out, HasSubstr("Report: " + path));
  const std::string page = read(path);
  EXPECT_LT(page.size(), std::size_t{6} << 20);
  EXPECT_THAT(page.substr(0, 20000), HasSubstr("On the simulated NVIDIA H100"));

  std::filesystem::remove(path);
  const ProcessResult again = thermoe_process({"report", folder()});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, path + "\n");
  EXPECT_EQ(read(path), page) << "the same run gives the same page";

  const std::string out = folder() + "/elsewhere.html";
  EXPECT_EQ(thermoe_process({"report", folder(), folder(), "--out", out}).out, out + "\n");
  EXPECT_THAT(read(out).substr(0, 20000), HasSubstr(" against "));
}

TEST_F(ReportCommandRuns, NoReportLeavesItOut) {
  complete(short_demo(), {"--strategy", "BASELINE", "--no-report"});
  EXPECT_FALSE(std::filesystem::exists(folder() + "/report.html"));
}

TEST_F(ReportCommandRuns, AKilledRunIsReportedAsSuch) {
  const ProcessResult killed = end_early(SIGKILL);
  ASSERT_EQ(killed.exit_code, -SIGKILL);
  EXPECT_FALSE(std::filesystem::exists(folder() + "/report.html"));
  const ProcessResult result = thermoe_process({"report", folder()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(read(folder() + "/report.html").substr(0, 20000),
              HasSubstr("The run was interrupted"));
}

}  // namespace
}  // namespace thermoe
