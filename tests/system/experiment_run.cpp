// SPDX-License-Identifier: Apache-2.0
#include "experiment_run.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <sstream>

#include "core/json_file.h"

namespace thermoe {
namespace {

const std::string kRoot = THERMOE_SOURCE_DIR;

/// Cells of a line; quoted cells may hold commas.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

nlohmann::json named(const nlohmann::json& summary, const std::string& name) {
  for (const auto& strategy : summary["strategies"]) {
    if (strategy["name"] == name) return strategy;
  }
  throw std::runtime_error("no strategy " + name);
}

}  // namespace

ExperimentRun::ExperimentRun()
    : root_(std::filesystem::temp_directory_path() /
            ("experiment_run." + std::to_string(::getpid()))) {
  std::filesystem::create_directories(root_);
}

ExperimentRun::~ExperimentRun() { std::filesystem::remove_all(root_); }

void ExperimentRun::SetUp() {
  if (!std::filesystem::exists(kRoot + "/model/thermoe-e128.safetensors")) {
    FAIL() << "model/thermoe-e128.safetensors is not there: it is part of the repository";
  }
}

nlohmann::json ExperimentRun::demo(const std::string& changes) const {
  nlohmann::json experiment = shipped("demo", R"({"duration_s": 40, "disturbances": [
      {"kind": "background", "from_s": 12, "to_s": 24, "power_w": 60, "bandwidth_share": 0.15}]})");
  experiment.merge_patch(parse_json(changes, "changes"));
  return experiment;
}

nlohmann::json ExperimentRun::short_demo() const {
  return demo(R"({"duration_s": 4, "disturbances": null, "calibration_samples": 8})");
}

nlohmann::json ExperimentRun::shipped(const std::string& name, const std::string& changes) const {
  nlohmann::json experiment = read_json_file(kRoot + "/experiments/" + name + ".json");
  experiment.merge_patch(parse_json(changes, "changes"));
  return experiment;
}

ProcessResult ExperimentRun::run(const nlohmann::json& experiment,
                                 const std::vector<std::string>& flags,
                                 const ProcessOptions& options) {
  const std::string file = (root_ / "experiment.json").string();
  std::ofstream(file) << experiment.dump(1);
  std::filesystem::remove_all(folder());
  std::vector<std::string> arguments = {"run", file, "--out", folder()};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return thermoe_process(arguments, options);
}

ProcessResult ExperimentRun::end_early(int signal) {
  return run(
      demo(), {},
      {.watched_file = folder() + "/metrics.csv", .signal_after_lines = 20, .signal = signal});
}

void ExperimentRun::complete(const nlohmann::json& experiment,
                             const std::vector<std::string>& flags) {
  const ProcessResult result = run(experiment, flags);
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

nlohmann::json ExperimentRun::strategy(const std::string& name) const {
  return named(read_json_file(folder() + "/summary.json"), name);
}

nlohmann::json ExperimentRun::details(const std::string& name) const {
  return named(read_json_file(folder() + "/details.json"), name);
}

std::vector<double> ExperimentRun::column(const std::string& strategy,
                                          const std::string& name) const {
  std::ifstream in(folder() + "/metrics.csv");
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> header = cells(line);
  const auto at =
      static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  if (at == header.size()) throw std::runtime_error("metrics.csv has no column " + name);
  std::vector<double> values;
  while (std::getline(in, line)) {
    const std::vector<std::string> row = cells(line);
    if (row.size() == header.size() && row[0] == strategy && !row[at].empty()) {
      values.push_back(std::stod(row[at]));
    }
  }
  return values;
}

double mean(const std::vector<double>& values, std::size_t from, std::size_t to) {
  to = std::min(to, values.size());
  if (from >= to) throw std::runtime_error("mean of nothing");
  const auto begin = values.begin();
  return std::accumulate(begin + static_cast<std::ptrdiff_t>(from),
                         begin + static_cast<std::ptrdiff_t>(to), 0.0) /
         static_cast<double>(to - from);
}

}  // namespace thermoe
