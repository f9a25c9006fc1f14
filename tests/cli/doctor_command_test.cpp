// SPDX-License-Identifier: Apache-2.0
// Through the program itself, on the machine that runs the tests.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "core/json_file.h"
#include "core/program_output.h"

namespace thermoe::doctor {
namespace {

/// The test's own: sanitizers and the loader take their settings from there.
std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  return variables;
}

/// Runs `thermoe` in a folder.
ProgramOutput thermoe_in(const std::string& folder, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), THERMOE_BINARY);
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  ProgramOutput output = run_program(arguments, {.environment = own_environment(),
                                                 .patience = std::chrono::minutes(2),
                                                 .longest_output = 1U << 20});
  std::filesystem::current_path(here);
  return output;
}

TEST(DoctorCommand, ExitsWithZeroInACloneAndItsJsonIsValid) {
  const ProgramOutput output = thermoe_in(THERMOE_SOURCE_DIR, {"doctor", "--json"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  const nlohmann::json json = parse_json(output.out, "stdout");
  EXPECT_EQ(json["healthy"], true);
  EXPECT_EQ(json["abilities"][0]["id"], "simulated_runs");
  for (const auto& finding : json["findings"]) {
    if (finding["id"] != "torch") continue;
    EXPECT_EQ(finding["status"], "found") << finding["detail"];
  }
}

TEST(DoctorCommand, ExitsWithOneWhereTheFilesOfRunsAreMissing) {
  const ProgramOutput output = thermoe_in("/proc", {"doctor"});
  EXPECT_EQ(output.exit_code, 1);
  EXPECT_THAT(output.out, testing::HasSubstr("simulated runs and CPU kernels: no ("));
  EXPECT_EQ(output.out.find('\x1b'), std::string::npos) << "no colours in a pipe";
}

TEST(DoctorCommand, AnUnknownOptionIsBadInput) {
  EXPECT_EQ(thermoe_in("/", {"doctor", "--jsn"}).exit_code, 2);
}

}  // namespace
}  // namespace thermoe::doctor
