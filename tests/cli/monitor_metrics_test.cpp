// SPDX-License-Identifier: Apache-2.0
// `thermoe monitor --metrics` on a terminal, over a fake NVML whose GPUs and driver fail.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>

#include "bounded_wait.h"
#include "fake_nvml/scripted_nvml.h"
#include "measure/http_get.h"
#include "terminal_process.h"

namespace thermoe {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class MonitorMetrics : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!pseudo_terminals_exist()) GTEST_SKIP() << "no pseudo-terminal here: is /dev/pts mounted?";
  }

  /// Where the readings go; to the terminal, a test would have to read them all the time.
  void start(const std::string& output = "/dev/null") {
    const std::string command =
        fmt::format("exec {} monitor --source nvml --nvml-library {} --period 50 --metrics 0 > {}",
                    MONITOR_PROGRAM, nvml_.library(), output);
    monitor_.emplace(std::vector<std::string>{"/bin/sh", "-c", command}, 80, 24);
    ASSERT_TRUE(monitor_->shows("/metrics"));
    const std::string& said = monitor_->output();
    const std::size_t from = said.find("http://");
    url_ = said.substr(from, said.find("/metrics", from) - from) + "/metrics";
  }
  std::string page() const {
    return http_get(parse_http_url(url_), Seconds(30.0)).body.value_or("no page");
  }
  bool page_comes_to(const testing::Matcher<std::string>& what) const {
    return comes_true([&] { return what.Matches(page()); });
  }

  ScriptedNvml nvml_;
  std::optional<TerminalProcess> monitor_{};
  std::string url_{};
};

TEST_F(MonitorMetrics, AreThoseOfTheGpuUntilTheProgramEnds) {
  nvml_.write("gpu.energy = 5000\n");
  start();
  EXPECT_TRUE(page_comes_to(HasSubstr("\nthermoe_gpu_energy_joules_total{gpu=\"0\"")));
  EXPECT_THAT(page(), ContainsRegex("\nthermoe_gpu_power_watts\\{gpu=\"0\",UUID=\"GPU-fake-0\","
                                    "gpu_name=\"Fake H100\",Hostname=\"[^\"]+\"\\} 300\n"));
  EXPECT_THAT(page(), Not(HasSubstr("simulated")));
  monitor_->signal(SIGTERM);
  EXPECT_EQ(monitor_->wait(), 128 + SIGTERM);
  EXPECT_EQ(page(), "no page");
}

TEST_F(MonitorMetrics, AreServedBesideTheView) {
  start("/dev/tty");
  ASSERT_TRUE(monitor_->shows("305.0 W"));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_power_instant_watts{"));
  monitor_->type("q");
  EXPECT_EQ(monitor_->wait(), 0);
}

TEST_F(MonitorMetrics, AGpuThatIsLostIsGoneAndTheOtherStays) {
  nvml_.write("gpus = 2\n");
  start();
  ASSERT_TRUE(page_comes_to(HasSubstr("thermoe_gpu_power_watts{gpu=\"1\"")));
  nvml_.write("gpus = 2\ngpu1.state = lost\n");
  EXPECT_TRUE(page_comes_to(Not(HasSubstr("thermoe_gpu_power_watts{gpu=\"1\""))));
  EXPECT_THAT(page(), HasSubstr("thermoe_gpu_power_watts{gpu=\"0\""));
}

TEST_F(MonitorMetrics, ADriverThatHangsLeavesNoReadingsAndASourceThatIsDown) {
  start();
  ASSERT_TRUE(page_comes_to(HasSubstr("thermoe_gpu_power_watts{")));
  EXPECT_THAT(page(), ContainsRegex("thermoe_source_up\\{source=\"NVML\"[^}]*\\} 1\n"));
  nvml_.write("hang.nvmlDeviceGetTemperature = 600\n");
  EXPECT_TRUE(page_comes_to(Not(HasSubstr("thermoe_gpu_"))));
  EXPECT_THAT(page(), ContainsRegex("thermoe_source_up\\{source=\"NVML\"[^}]*\\} 0\n"));
  nvml_.write("");
  EXPECT_TRUE(page_comes_to(HasSubstr("thermoe_gpu_power_watts{")));
}

TEST_F(MonitorMetrics, ANameThatIsNoTextIsMadeOne) {
  nvml_.write("gpu.name = Fake H100 \xff\"\\\n");
  start();
  EXPECT_TRUE(page_comes_to(HasSubstr("gpu_name=\"Fake H100 \xEF\xBF\xBD\\\"\\\\\"")));
}

}  // namespace
}  // namespace thermoe
