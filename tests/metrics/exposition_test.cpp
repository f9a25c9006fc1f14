// SPDX-License-Identifier: Apache-2.0
#include "metrics/exposition.h"

#include <gmock/gmock.h>

#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

constexpr auto kText = ExpositionFormat::kText;
constexpr auto kOpen = ExpositionFormat::kOpenMetrics;

std::vector<MetricFamily> a_gauge_and_a_counter() {
  return {{.name = "room_celsius",
           .help = "Warmth.",
           .samples = {{.labels = {{"room", "attic"}, {"floor", "3"}}, .value = 21.5},
                       {.labels = {}, .value = 0.1 + 0.2}}},
          {.name = "used_joules_total",
           .type = MetricType::kCounter,
           .help = "Energy.",
           .samples = {{.value = 12345678901.25}}}};
}

TEST(Exposition, TextHasFamiliesInOrderWithHelpTypeAndEveryDigit) {
  EXPECT_EQ(exposition(a_gauge_and_a_counter(), kText),
            "# HELP room_celsius Warmth.\n"
            "# TYPE room_celsius gauge\n"
            "room_celsius{room=\"attic\",floor=\"3\"} 21.5\n"
            "room_celsius 0.30000000000000004\n"
            "# HELP used_joules_total Energy.\n"
            "# TYPE used_joules_total counter\n"
            "used_joules_total 12345678901.25\n");
}

TEST(Exposition, OpenMetricsNamesACounterWithoutItsEndingAndSaysItsEnd) {
  EXPECT_EQ(exposition(a_gauge_and_a_counter(), kOpen),
            "# HELP room_celsius Warmth.\n"
            "# TYPE room_celsius gauge\n"
            "room_celsius{room=\"attic\",floor=\"3\"} 21.5\n"
            "room_celsius 0.30000000000000004\n"
            "# HELP used_joules Energy.\n"
            "# TYPE used_joules counter\n"
            "used_joules_total 12345678901.25\n"
            "# EOF\n");
}

TEST(Exposition, LabelsAndHelpAreEscaped) {
  const std::vector<MetricFamily> page = {
      {.name = "x",
       .help = "a\\b\nc\"d",
       .samples = {{.labels = {{"l", "back\\slash \"quoted\"\nnext"}}, .value = 1.0}}}};
  const std::string text = exposition(page, kText);
  EXPECT_THAT(text, HasSubstr("# HELP x a\\\\b\\nc\"d\n"));
  EXPECT_THAT(text, HasSubstr("x{l=\"back\\\\slash \\\"quoted\\\"\\nnext\"} 1\n"));
  EXPECT_THAT(exposition(page, kOpen), HasSubstr("# HELP x a\\\\b\\nc\\\"d\n"));
}

TEST(Exposition, BytesThatAreNoTextAreReplaced) {
  const std::string text = exposition(
      {{.name = "x",
        .samples = {{.labels = {{"l", std::string("GPU\xff\xfe \xc3\xa9\x01\0!", 11)}}}}}},
      kText);
  EXPECT_THAT(text, HasSubstr("{l=\"GPU\xEF\xBF\xBD\xEF\xBF\xBD \xC3\xA9!\"}")) << text;
}

TEST(Exposition, AFamilyWithoutSamplesIsLeftOut) {
  EXPECT_EQ(exposition({{.name = "x", .help = "Nothing."}}, kText), "");
  EXPECT_EQ(exposition({{.name = "x", .help = "Nothing."}}, kOpen), "# EOF\n");
}

TEST(Exposition, NumbersThatAreNoneHaveTheirNames) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(exposition({{.name = "x",
                         .help = "h",
                         .samples = {{.value = kInf},
                                     {.value = -kInf},
                                     {.value = std::numeric_limits<double>::quiet_NaN()}}}},
                       kText),
            "# HELP x h\n# TYPE x gauge\nx +Inf\nx -Inf\nx NaN\n");
}

TEST(Exposition, NamesThatTheFormatsDoNotHaveAreRefused) {
  const auto with = [](std::string name, MetricType type, std::string label) {
    return exposition({{.name = std::move(name),
                        .type = type,
                        .samples = {{.labels = {{std::move(label), "v"}}}}}},
                      kText);
  };
  EXPECT_NO_THROW(with("vllm:tokens_total", MetricType::kCounter, "l"));
  EXPECT_THROW(with("", MetricType::kGauge, "l"), PreconditionError);
  EXPECT_THROW(with("9x", MetricType::kGauge, "l"), PreconditionError);
  EXPECT_THROW(with("a-b", MetricType::kGauge, "l"), PreconditionError);
  EXPECT_THROW(with("tokens", MetricType::kCounter, "l"), PreconditionError);
  EXPECT_THROW(with("x_total", MetricType::kGauge, "l"), PreconditionError);
  EXPECT_THROW(with("x", MetricType::kGauge, "a:b"), PreconditionError);
  EXPECT_THROW(with("x", MetricType::kGauge, ""), PreconditionError);
}

TEST(Exposition, OpenMetricsIsGivenToWhomAsksForIt) {
  EXPECT_EQ(accepted_format("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), kOpen);
  EXPECT_EQ(accepted_format("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), kText);
  EXPECT_EQ(accepted_format(""), kText);
  EXPECT_THAT(std::string(content_type(kText)), HasSubstr("version=0.0.4"));
  EXPECT_THAT(std::string(content_type(kOpen)), HasSubstr("version=1.0.0"));
}

}  // namespace
}  // namespace thermoe
