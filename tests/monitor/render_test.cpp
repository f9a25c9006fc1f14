// SPDX-License-Identifier: Apache-2.0
#include "monitor/render.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/terminal_text.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Seconds kNow{60.0};

GpuView busy_gpu(int index = 0) {
  GpuView gpu{.label = "GPU " + std::to_string(index), .now = kNow};
  GpuReading& r = gpu.reading;
  r.name = "NVIDIA H100 80GB HBM3";
  r.power_instant.value = Watts(432.1);
  r.power_average.value = Watts(350.3);
  r.power_limit.value = Watts(700);
  r.temperature.value = Celsius(55);
  r.memory_temperature.value = Celsius(60);
  r.gpu_utilisation.value = 0.78;
  r.memory_utilisation.value = 0.43;
  r.sm_clock.value = Megahertz(1980);
  r.memory_clock.value = Megahertz(2619);
  r.throttle_reasons.value = 0;
  for_each_reading(r, r, [](auto& reading, auto&) { reading.read_at = reading.changed_at = kNow; });
  for (int s = 0; s < 60; ++s) {
    gpu.power.add(Seconds(s), 131.0 + s);
    gpu.temperature.add(Seconds(s), 43.0);
  }
  return gpu;
}

MonitorView view_of(GpuView gpu) {
  return {.source = "NVML",
          .time = "05:12:31",
          .keys = true,
          .feeds = {{.label = "NVML", .answered = true}},
          .gpus = {std::move(gpu)}};
}

std::string text(const MonitorView& view, const Terminal& terminal = {.columns = 120}) {
  std::string all;
  for (const std::string& line : render(view, terminal)) all += line + "\n";
  return all;
}

std::string without_codes(const std::string& line) {
  std::string plain;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = line.find('m', i);
    } else {
      plain += line[i];
    }
  }
  return plain;
}

MonitorView full_view() {
  MonitorView view = view_of(busy_gpu());
  view.gpus.push_back(busy_gpu(1));
  view.gpus[1].reading.name =
      "日本語の長い名前のＧＰＵ 🔥 with a name that no terminal of forty columns can hold";
  view.gpus[1].reading.throttle_reasons.value = 0x1EC;
  view.gpus[1].stale_for = Seconds(2.3);
  view.host = {{.name = "RAPL package-0"}, {.name = "un capteur très long nommé k10temp Tctl"}};
  view.host[0].power.value = Watts(95.5);
  view.host[1].temperature.value = Celsius(48);
  view.feeds[0].silent_for = Seconds(2.3);
  view.feeds[0].problems = {"GPU 1 (GPU-8a1e0f8c-9c5d-4e7c-a5d0-0123456789ab): is lost"};
  view.run = RunView{.state = RunView::State::kRunning,
                     .folder = "runs/demo-1",
                     .experiment = "demo",
                     .simulated = true,
                     .strategy = "KERNEL_AWARE_TTHA",
                     .strategy_number = 3,
                     .strategies = 4,
                     .at = Seconds(120.3),
                     .duration = Seconds(240)};
  view.run->lambda = 0.0123;
  view.run->power_target = Watts(350);
  view.run->power_sensor = Watts(345.7);
  view.run->power_predicted = Watts(348.2);
  view.run->fallback = "BASELINE: telemetry is stale for 1.6 s";
  return view;
}

TEST(MonitorRender, NoLineIsWiderThanItsTerminal) {
  const MonitorView view = full_view();
  for (int columns = 10; columns <= 220; columns += columns < 50 ? 1 : 10) {
    for (const bool colour : {false, true}) {
      for (const bool unicode : {false, true}) {
        for (const int rows : {0, 1, 2, 3, 10, 24}) {
          const auto lines = render(
              view, {.columns = columns, .rows = rows, .colour = colour, .unicode = unicode});
          if (rows > 0) {
            EXPECT_LE(lines.size(), static_cast<std::size_t>(rows));
          }
          for (const std::string& line : lines) {
            ASSERT_LE(display_width(without_codes(line)), columns) << line;
          }
        }
      }
    }
  }
}

TEST(MonitorRender, TheUsualTerminalShowsPowerAgainstItsLimit) {
  const auto lines = render(view_of(busy_gpu()), {.columns = 80});
  EXPECT_THAT(lines[0], "thermoe monitor  NVML" + std::string(40, ' ') + "  05:12:31  q quits");
  EXPECT_THAT(lines, Contains("GPU 0  NVIDIA H100 80GB HBM3"));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("power 432.1 W  average 350.3 W  █"),
                                    HasSubstr("░  62 % of 700 W limit"))));
  EXPECT_THAT(lines, Contains("  die 55 °C  memory 60 °C  util  78 %  memory util  43 %"));
  EXPECT_THAT(lines, Contains("  SM 1980 MHz  memory 2619 MHz  clocks not limited"));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("▁"), HasSubstr("131–190 W"), HasSubstr("43 °C"))));
}

TEST(MonitorRender, FortyColumnsFold) {
  const auto lines = render(view_of(busy_gpu()), {.columns = 40});
  EXPECT_THAT(lines, Contains("  power 432.1 W  average 350.3 W"));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("█"), HasSubstr("62 % of 700 W limit"))));
  EXPECT_THAT(lines, Contains("  die 55 °C  memory 60 °C  util  78 %"));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("power ▁"), HasSubstr("131–190 W"))));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("die   ▁"), HasSubstr("43 °C"))));
}

TEST(MonitorRender, WithoutUnicodeOrColourEveryByteIsPlain) {
  const std::string all = text(full_view(), {.columns = 80, .unicode = false});
  EXPECT_TRUE(std::ranges::all_of(all, [](char c) { return c == '\n' || (c >= ' ' && c < 127); }));
  EXPECT_THAT(all, AllOf(HasSubstr("[####"), HasSubstr("die 55 C"), HasSubstr("lambda 0.0123")));
}

TEST(MonitorRender, ColourOnlyRepeatsWhatTheWordsSay) {
  const MonitorView view = full_view();
  const auto plain = render(view, {.columns = 100});
  const auto coloured = render(view, {.columns = 100, .colour = true});
  ASSERT_EQ(plain.size(), coloured.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(without_codes(coloured[i]).substr(0, plain[i].size()), plain[i]);
  }
}

TEST(MonitorRender, ASmallScreenDropsSparklinesFirstAndThenDetail) {
  MonitorView view = view_of(busy_gpu());
  for (int g = 1; g < 8; ++g) view.gpus.push_back(busy_gpu(g));
  EXPECT_THAT(text(view, {.columns = 100, .rows = 60}), HasSubstr("131–190 W"));
  const std::string numbers = text(view, {.columns = 100, .rows = 45});
  EXPECT_THAT(numbers, AllOf(Not(HasSubstr("131–190 W")), HasSubstr("memory util")));
  const std::string lines = text(view, {.columns = 100, .rows = 12});
  EXPECT_THAT(lines, AllOf(Not(HasSubstr("memory util")),
                           HasSubstr("GPU 7  432 W of 700 W limit  die 55 °C")));
  // Folded where there are rows for it, cut where there are not.
  EXPECT_THAT(text(view, {.columns = 40, .rows = 18}), HasSubstr("util  78 %  SM 1980 MHz"));
  EXPECT_THAT(text(view, {.columns = 40, .rows = 12}), HasSubstr("die 55 °C …"));
  view.keys = false;
  EXPECT_THAT(text(view, {.columns = 100, .rows = 5}),
              HasSubstr("1–3 of 8 lines: enlarge the terminal"));
}

MonitorView view_of_gpus(int count) {
  MonitorView view = view_of(busy_gpu());
  for (int g = 1; g < count; ++g) view.gpus.push_back(busy_gpu(g));
  return view;
}

TEST(MonitorRender, WhereGpusDoNotFitTheyScrollUnderTheTitleAndTheKeysAreSaid) {
  MonitorView view = view_of_gpus(16);
  for (const int columns : {40, 100}) {
    const Terminal terminal{.columns = columns, .rows = 8};
    EXPECT_EQ(scroll_range(view, terminal).most, 10);
    EXPECT_EQ(scroll_range(view, terminal).page, 6);
    for (const int scroll : {0, 3, 10, 99, -7}) {
      view.scroll = scroll;
      const int first = std::clamp(scroll, 0, 10);
      const auto lines = render(view, terminal);
      ASSERT_EQ(lines.size(), 8U);
      EXPECT_THAT(lines[0], HasSubstr("thermoe monitor"));
      for (int g = 0; g < 6; ++g) {
        EXPECT_THAT(lines[static_cast<std::size_t>(g + 1)],
                    testing::StartsWith("GPU " + std::to_string(first + g) + "  432 W"));
      }
      EXPECT_THAT(lines[7], testing::StartsWith(fmt::format("{}–{} of 16 ", first + 1, first + 6)));
      EXPECT_THAT(lines[7], AllOf(HasSubstr("j k"), HasSubstr("PgDn"), HasSubstr("q quits")));
    }
  }
}

TEST(MonitorRender, WhatFitsDoesNotScroll) {
  MonitorView view = view_of_gpus(16);
  view.scroll = 3;
  const auto lines = render(view, {.columns = 100, .rows = 17});
  EXPECT_THAT(lines[1], testing::StartsWith("GPU 0"));
  EXPECT_EQ(scroll_range(view, {.columns = 100, .rows = 17}).most, 0);
  EXPECT_EQ(scroll_range(view, {.columns = 100, .rows = 0}).most, 0);
}

TEST(MonitorRender, AbsentReadingsAreADashWithTheReasonWhereItIsKnown) {
  GpuView gpu = busy_gpu();
  gpu.reading.memory_temperature = {};  // never had one
  gpu.reading.temperature.value.reset();
  gpu.reading.temperature.read_at = Seconds(57.5);
  gpu.reading.power_average.value.reset();
  gpu.reading.power_average.rejected = true;
  gpu.reading.power_limit = {};
  gpu.reading.throttle_reasons = {};
  const std::string all = text(view_of(gpu));
  EXPECT_THAT(all, HasSubstr("memory –  util"));
  EXPECT_THAT(all, HasSubstr("die – (last read 2.5 s ago)"));
  EXPECT_THAT(all, HasSubstr("average – (impossible value)"));
  EXPECT_THAT(all, HasSubstr("limit –"));
  EXPECT_THAT(all, HasSubstr("clocks limited by –"));
}

TEST(MonitorRender, ThrottleReasonsAreWords) {
  GpuView gpu = busy_gpu();
  gpu.reading.throttle_reasons.value = 0x44;
  EXPECT_THAT(text(view_of(gpu)),
              HasSubstr("clocks limited by software power cap,  hardware thermal slowdown"));
}

TEST(MonitorRender, APowerSensorThatRepeatsItselfIsCalledUnchanged) {
  GpuView gpu = busy_gpu();
  gpu.reading.power_instant.changed_at = Seconds(48);
  EXPECT_THAT(text(view_of(gpu)), HasSubstr("power 432.1 W (unchanged 12 s)"));
}

TEST(MonitorRender, StaleReadingsSayTheirAgeAndASilentDriverIsNamed) {
  MonitorView view = view_of(busy_gpu());
  view.gpus[0].stale_for = Seconds(2.3);
  view.feeds[0].silent_for = Seconds(2.3);
  const std::string all = text(view);
  EXPECT_THAT(all, HasSubstr("NVIDIA H100 80GB HBM3  stale 2.3 s"));
  EXPECT_THAT(all, HasSubstr("NVML has not answered for 2.3 s"));
}

TEST(MonitorRender, ALostGpuSaysSinceWhen) {
  GpuView gpu = busy_gpu();
  for_each_reading(gpu.reading, gpu.reading, [](auto& reading, auto&) {
    reading.value.reset();
    reading.read_at = Seconds(50);
  });
  MonitorView view = view_of(gpu);
  view.feeds[0].problems = {"GPU 0 is lost; reconnecting"};
  EXPECT_THAT(text(view), AllOf(HasSubstr("lost, last answered 10.0 s ago"),
                                HasSubstr("NVML: GPU 0 is lost; reconnecting")));
}

TEST(MonitorRender, ALostSourceIsReconnecting) {
  MonitorView view = view_of(busy_gpu());
  view.feeds[0].error = "the driver is gone";
  EXPECT_THAT(text(view), HasSubstr("NVML: lost; reconnecting. the driver is gone"));
}

TEST(MonitorRender, WithoutAGpuItSaysWhatToTryAndShowsTheHost) {
  MonitorView view{.source = "NVML + host"};
  view.feeds = {{.label = "NVML", .error = "libnvidia-ml.so.1 was not found"},
                {.label = "host", .answered = true}};
  view.host = {{.name = "RAPL package-0"}};
  view.host[0].power.value = Watts(95.5);
  EXPECT_THAT(text(view),
              AllOf(HasSubstr("libnvidia-ml.so.1 was not found"),
                    HasSubstr("try --source simulated"), HasSubstr("RAPL package-0 95.5 W")));
}

TEST(MonitorRender, ASourceThatNobodyAskedForIsMissedInAFewWords) {
  MonitorView view = view_of(busy_gpu());
  view.feeds.push_back({.label = "host", .optional = true, .error = "no sensor: looked for /sys"});
  EXPECT_THAT(text(view), AllOf(HasSubstr("host: no sensor\n"), Not(HasSubstr("/sys"))));
}

TEST(MonitorRender, ARecordingsEndIsNoLoss) {
  MonitorView view = view_of(busy_gpu());
  view.feeds[0].error = "the recording ended after 110 s";
  view.feeds[0].ended = true;
  EXPECT_THAT(text(view), AllOf(HasSubstr("recording has ended"), Not(HasSubstr("lost"))));
}

TEST(MonitorRender, SimulatedIsSaidOnEveryFrame) {
  MonitorView view = view_of(busy_gpu());
  view.source = "replay of x.csv";
  view.simulated = true;
  EXPECT_THAT(render(view, {.columns = 40, .rows = 4}).front(), HasSubstr("simulated"));
  view.source = "simulated";
  EXPECT_THAT(render(view, {.columns = 40, .rows = 4}).front(), HasSubstr("simulated"));
}

TEST(MonitorRender, ARunShowsItsControllerAgainstItsCap) {
  const std::string all = text(full_view());
  EXPECT_THAT(all, HasSubstr("run  demo  running  simulated, virtual time"));
  EXPECT_THAT(all, HasSubstr("KERNEL_AWARE_TTHA 3 of 4  █"));
  EXPECT_THAT(all, HasSubstr("120.3 of 240 s"));
  EXPECT_THAT(all, HasSubstr("power cap 350 W  sensor 345.7 W  predicted 348.2 W"));
  EXPECT_THAT(all, HasSubstr("λ 0.0123"));
  EXPECT_THAT(all, HasSubstr("fell back to BASELINE: telemetry is stale for 1.6 s"));
}

TEST(MonitorRender, TheMethodsInitialsAreExplainedWhereThereIsRoom) {
  MonitorView view = full_view();
  EXPECT_THAT(text(view), HasSubstr("TTHA: test-time hardware-efficiency adaptation"));
  EXPECT_THAT(text(view, {.columns = 100, .rows = 14}), Not(HasSubstr("TTHA:")));
  view.run->strategy = "BASELINE";
  EXPECT_THAT(text(view), Not(HasSubstr("TTHA")));
}

TEST(MonitorRender, ARunOfSeveralRoundsSaysWhichOneItIsIn) {
  MonitorView view = full_view();
  view.run->strategy_number = 0;
  view.run->rounds = 3;
  EXPECT_THAT(text(view), HasSubstr("KERNEL_AWARE_TTHA round 1 of 3  █"));
  view.run->strategy += " #2";
  EXPECT_THAT(text(view), HasSubstr("KERNEL_AWARE_TTHA #2 round 2 of 3  █"));
  EXPECT_THAT(text(view), HasSubstr("TTHA: test-time hardware-efficiency adaptation"));
}

TEST(MonitorRender, TheSelectionOfGpusIsSaidUnderTheTitle) {
  MonitorView view = view_of(busy_gpu(3));
  view.selection = "1 of 8 GPUs (CUDA_VISIBLE_DEVICES)";
  for (const int columns : {40, 100}) {
    EXPECT_THAT(render(view, {.columns = columns})[1], "1 of 8 GPUs (CUDA_VISIBLE_DEVICES)");
  }
}

TEST(MonitorRender, ACapIsHeldByTheMeanAndNotByThePeaks) {
  GpuView gpu = busy_gpu();
  gpu.cap = Watts(350);
  const std::string all = text(view_of(gpu), {.columns = 120, .colour = true});
  EXPECT_THAT(all, HasSubstr(" 100 % of 350 W cap"));
  EXPECT_THAT(all, HasSubstr("\x1b[32m█"));  // 350.3 W is within 1.05 of it
}

TEST(MonitorRender, ARunThatHasNotBegunIsWaitedFor) {
  MonitorView view{.source = "run x"};
  view.run = RunView{.folder = "x", .waiting_for = "x/config.json"};
  EXPECT_THAT(text(view), HasSubstr("run  x  waiting for x/config.json"));
}

TEST(MonitorRender, LinesHoldOneGpuEach) {
  MonitorView view = view_of(busy_gpu());
  view.gpus.push_back(busy_gpu(1));
  const auto lines = render_lines(view, {.columns = 400, .unicode = false});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1], "GPU 1  432 W of 700 W limit  die 55 C  util  78 %  SM 1980 MHz");
}

}  // namespace
}  // namespace thermoe
