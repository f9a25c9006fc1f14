// SPDX-License-Identifier: Apache-2.0
// The page of metrics of an engine's controller.
#include "engine/engine_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/controller_without_adapter.h"
#include "engine/controller_service.h"
#include "measure/http_get.h"
#include "toy_model.h"

namespace thermoe {
namespace {

using ::testing::ContainsRegex;
using testing::toy_config;

/// An engine that tells of its queue, a step a tick.
class EngineMetricsTest : public ::testing::Test {
 protected:
  void tick_with(bool mixed, int finished) {
    service_.observe({.mixed = mixed,
                      .tokens = 8,
                      .rows = 8,
                      .serving = StepServing{.running = 4, .finished = finished}});
    service_.advance(Seconds(time_ += 0.1));
  }
  std::string page() const {
    const HttpPage page = http_get(parse_http_url(service_.metrics_url()), Seconds(60));
    return page.body.value_or(page.fault);
  }

 private:
  ControllerService service_{read_engine_config(toy_config(
                                 R"({"targets": {"power_w": null, "time_between_tokens_ms": 25},
              "engine": {"batch_limit": 64}, "control": {"step_period_s": null},
              "metrics": {"port": 0}})")),
                             controller_without_adapter};
  double time_ = 0.0;
};

TEST_F(EngineMetricsTest, EveryFinishedRequestIsCountedAlsoInATickWithoutADecodeStep) {
  tick_with(false, 3);
  tick_with(true, 2);
  EXPECT_THAT(page(), ContainsRegex("thermoe_requests_finished_total[^\n]*[}] 5\n"));
}

TEST_F(EngineMetricsTest, TokensOfPromptsAreNoneThatWereDecoded) {
  tick_with(false, 0);
  tick_with(true, 0);
  EXPECT_THAT(page(), ContainsRegex("thermoe_steps_total[^\n]*[}] 1\n"));
  EXPECT_THAT(page(), ContainsRegex("thermoe_tokens_total[^\n]*[}] 8\n"));
}

}  // namespace
}  // namespace thermoe
