// SPDX-License-Identifier: Apache-2.0
#include "result_json.h"

#include <algorithm>
#include <cmath>

namespace thermoe::bench {
namespace {

using nlohmann::ordered_json;

/// As many digits as mean something.
double rounded(double value, double unit) { return std::round(value / unit) * unit; }
double three_places(double value) { return rounded(value * 1000.0, 1.0) / 1000.0; }

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

ordered_json clock_json(const std::vector<double>& mhz) {
  if (mhz.empty()) return nullptr;
  return {
      {"least", quantile(mhz, 0.0)}, {"median", quantile(mhz, 0.5)}, {"most", quantile(mhz, 1.0)}};
}

ordered_json row_json(const RowResult& row, double bandwidth) {
  ordered_json json{{"op", row.row.op},
                    {"shape", row.row.shape},
                    {"impl", row.row.impl},
                    {"median_us", three_places(quantile(row.us, 0.5))},
                    {"p10_us", three_places(quantile(row.us, 0.1))},
                    {"p90_us", three_places(quantile(row.us, 0.9))},
                    {"floor_us", nullptr},
                    {"joules", nullptr},
                    {"watts", nullptr},
                    {"samples", row.us.size()},
                    {"calls", row.calls}};
  if (row.bytes > 0.0 && bandwidth > 0.0) {
    json["floor_us"] = three_places(row.bytes / bandwidth * 1e6);
  }
  if (row.energy) {
    json["joules"] = rounded(row.energy->joules.value * 1e9, 1.0) / 1e9;
    json["watts"] = rounded(row.energy->watts.value * 10.0, 1.0) / 10.0;
  }
  return json;
}

}  // namespace

double read_bandwidth(const RunResult& run) {
  double best = 0.0;
  for (const RowResult& row : run.rows) {
    if (row.row.op == "read") best = std::max(best, row.bytes / quantile(row.us, 0.5) * 1e6);
  }
  return best;
}

ordered_json result_json(const RunFacts& facts, const RunResult& run) {
  const double bandwidth = read_bandwidth(run);
  ordered_json json{
      {"schema", 1},
      {"device", facts.device},
      {"driver", text_or_null(facts.driver)},
      {"cuda", facts.cuda},
      {"torch", text_or_null(facts.torch)},
      {"clocks", {{"sm_mhz", clock_json(run.sm_mhz)}, {"memory_mhz", clock_json(run.memory_mhz)}}},
      {"commit", text_or_null(facts.commit)},
      {"command", facts.command},
      {"complete", run.complete},
      {"bytes_per_second", std::round(bandwidth)},
      {"left_out", run.left_out},
      {"rows", ordered_json::array()}};
  for (const RowResult& row : run.rows) json["rows"].push_back(row_json(row, bandwidth));
  return json;
}

}  // namespace thermoe::bench
