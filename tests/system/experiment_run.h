// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "thermoe_process.h"

namespace thermoe {

/// Runs experiments with the shipped model through the program, as a user does.
class ExperimentRun : public testing::Test {
 protected:
  ExperimentRun();
  ~ExperimentRun() override;
  void SetUp() override;

  /// The shipped demo cut to 40 s (tenant from 12 s to 24 s), changed by a JSON merge patch.
  nlohmann::json demo(const std::string& changes = "{}") const;
  /// The same in 4 s, without the tenant.
  nlohmann::json short_demo() const;
  /// A shipped experiment, changed by a JSON merge patch.
  nlohmann::json shipped(const std::string& name, const std::string& changes) const;
  /// Writes and runs it into a new folder(); more flags may be given.
  ProcessResult run(const nlohmann::json& experiment, const std::vector<std::string>& flags = {},
                    const ProcessOptions& options = {});
  /// Runs it and expects success.
  void complete(const nlohmann::json& experiment, const std::vector<std::string>& flags = {});

  /// Runs `demo()` and sends it `signal` once it has written some ticks.
  ProcessResult end_early(int signal);

  /// Of the last run.
  std::string folder() const { return (root_ / "run").string(); }
  nlohmann::json strategy(const std::string& name) const;
  nlohmann::json details(const std::string& name) const;
  /// A column of metrics.csv for one strategy; empty cells are left out.
  std::vector<double> column(const std::string& strategy, const std::string& name) const;

 private:
  std::filesystem::path root_;
};

double mean(const std::vector<double>& values, std::size_t from, std::size_t to);

}  // namespace thermoe
