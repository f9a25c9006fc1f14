// SPDX-License-Identifier: Apache-2.0
// What is exported, and what is shipped for it: docs, rules and dashboard speak of metrics that
// are.
#include "metrics/exported_metrics.h"

#include <gmock/gmock.h>

#include <fstream>
#include <limits>
#include <regex>
#include <set>
#include <sstream>

#include "metrics/exposition.h"

namespace thermoe {
namespace {

using testing::Contains;

std::string file(const std::string& path) {
  std::ifstream in(std::string(THERMOE_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex words(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), words), end; it != end; ++it) {
    found.insert(it->str());
  }
  return found;
}

std::set<std::string> exported_names() {
  std::set<std::string> names;
  for (const ExportedMetric& metric : exported_metrics()) names.emplace(metric.name);
  return names;
}

/// The same, and what a histogram's samples are called.
std::set<std::string> sample_names() {
  std::set<std::string> names = exported_names();
  for (const ExportedMetric& metric : exported_metrics()) {
    if (metric.type != MetricType::kHistogram) continue;
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      names.insert(std::string(metric.name) + suffix);
    }
  }
  return names;
}

TEST(ExportedMetrics, StandAtTheirIdsAndHaveNamesOfTheirOwnThatTheFormatTakes) {
  std::size_t id = 0;
  MetricsPage page;
  for (const ExportedMetric& metric : exported_metrics()) {
    EXPECT_EQ(static_cast<std::size_t>(metric.id), id++) << metric.name;
    EXPECT_FALSE(metric.help.empty()) << metric.name;
    page.add(metric.id, {}, 1.0);
  }
  EXPECT_EQ(exported_names().size(), id);
  EXPECT_NO_THROW(exposition(page.families(), ExpositionFormat::kText));
}

TEST(ExportedMetrics, WhatIsAbsentOrNoNumberMakesNoSample) {
  MetricsPage page;
  page.add(Exported::kGpuPower, {}, std::nullopt);
  page.add(Exported::kGpuPower, {}, std::numeric_limits<double>::quiet_NaN());
  page.add(Exported::kGpuPower, {}, std::numeric_limits<double>::infinity());
  EXPECT_EQ(exposition(page.families(), ExpositionFormat::kText), "");
  page.add(Exported::kGpuPower, {}, 0.0);
  EXPECT_THAT(exposition(page.families(), ExpositionFormat::kText),
              testing::EndsWith("thermoe_gpu_power_watts 0\n"));
}

TEST(ExportedMetrics, AreEachExplainedInTheDocs) {
  const auto told = matches(file("docs/metrics.md"), "thermoe_[a-z0-9_]+");
  for (const std::string& name : exported_names()) EXPECT_THAT(told, Contains(name));
}

TEST(ExportedMetrics, AreAllThatDocsRulesAndDashboardSpeakOf) {
  const auto exported = sample_names();
  const std::set<std::string> of_vllm = {"vllm:generation_tokens_total"};
  // Files.
  const std::set<std::string> no_metric = {"thermoe_rules", "thermoe_rules_test"};
  for (const char* path : {"docs/metrics.md", "deploy/prometheus/thermoe_rules.yml",
                           "deploy/prometheus/thermoe_rules_test.yml",
                           "deploy/prometheus/prometheus.yml", "deploy/grafana/thermoe.json"}) {
    const std::string text = file(path);
    for (const std::string& name : matches(text, "thermoe_[a-z0-9_]+")) {
      EXPECT_TRUE(exported.contains(name) || no_metric.contains(name)) << path << ": " << name;
    }
    for (const std::string& name : matches(text, "vllm:[a-z0-9_]+")) {
      EXPECT_TRUE(of_vllm.contains(name)) << path << ": " << name;
    }
  }
}

TEST(ExportedMetrics, TheDashboardUsesRecordsThatTheRulesMake) {
  const std::string record = "thermoe:[a-z0-9_:]+";
  const auto made = matches(file("deploy/prometheus/thermoe_rules.yml"), record);
  const auto used = matches(file("deploy/grafana/thermoe.json"), record);
  EXPECT_FALSE(used.empty());
  for (const std::string& name : used) EXPECT_THAT(made, Contains(name));
}

}  // namespace
}  // namespace thermoe
