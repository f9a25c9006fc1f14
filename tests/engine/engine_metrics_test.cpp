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

TEST(EngineMetrics, EveryFinishedRequestIsCountedAlsoInATickWithoutADecodeStep) {
  ControllerService service(read_engine_config(toy_config(
                                R"({"targets": {"power_w": null, "time_between_tokens_ms": 25},
              "engine": {"batch_limit": 64}, "control": {"step_period_s": null},
              "metrics": {"port": 0}})")),
                            controller_without_adapter);
  double time = 0.0;
  const auto tick_with = [&](bool mixed, int finished) {
    service.observe({.mixed = mixed,
                     .tokens = 8,
                     .rows = 8,
                     .serving = StepServing{.running = 4, .finished = finished}});
    service.advance(Seconds(time += 0.1));
  };
  tick_with(false, 3);
  tick_with(true, 2);
  const HttpPage page = http_get(parse_http_url(service.metrics_url()), Seconds(60));
  EXPECT_THAT(page.body.value_or(page.fault),
              ContainsRegex("thermoe_requests_finished_total[^\n]*[}] 5\n"));
}

}  // namespace
}  // namespace thermoe
