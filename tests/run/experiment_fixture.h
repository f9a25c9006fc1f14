// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/controller_without_adapter.h"
#include "core/csv_reader.h"
#include "core/json_file.h"
#include "report/metrics_columns.h"
#include "run/check_experiment.h"
#include "run/forced_decode.h"
#include "run/run_experiment.h"
#include "synthetic_decoder.h"

namespace thermoe {

class Notes final : public Progress {
 public:
  void update(std::string_view, Seconds, Seconds, std::string_view) override {
    if (++updates == stop_at && stop != nullptr) *stop = true;
  }
  void note(std::string_view line) override { lines.emplace_back(line); }

  std::vector<std::string> lines{};
  int updates = 0;
  int stop_at = -1;
  std::atomic<bool>* stop = nullptr;
};

/// A process whose every strategy needs less than the one before.
struct Memory {
  bool resets = true;
  std::uint64_t held = 0;
  std::uint64_t next = 1000;

  bool reset() {
    if (resets) held = 0;
    return resets;
  }
  std::optional<std::uint64_t> peak() {
    held = std::max(held, next);
    next -= 100;
    return held;
  }
};

class RunExperiment : public testing::Test {
 protected:
  RunExperiment() { std::filesystem::create_directories(folder_); }
  ~RunExperiment() override { std::filesystem::remove_all(folder_); }

  /// A 30 s run of the H100 plant with the tenant of the demo from 10 s to 20 s.
  static Experiment experiment(const std::string& changes = "{}") {
    nlohmann::json json = {{"strategies", {"BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA"}},
                           {"targets", {{"power_w", 350}}},
                           {"control", {{"mode", "dual_only"}}},
                           {"disturbances",
                            {{{"kind", "background"},
                              {"from_s", 10},
                              {"to_s", 20},
                              {"power_w", 60},
                              {"bandwidth_share", 0.15}}}},
                           {"calibration_samples", 32},
                           {"duration_s", 30}};
    json.merge_patch(parse_json(changes, "changes"));
    return experiment_from(json, std::string(THERMOE_SOURCE_DIR) + "/experiments/test.json");
  }

  RunResult run(const Experiment& e) {
    decoder_.streams = e.batch;
    SyntheticDecoder model(decoder_);
    const ExperimentInputs inputs = load_inputs(e);
    ForcedDecode decoder(model, inputs.texts->decoded, stream_options(e));
    ForcedDecode calibration(model, inputs.texts->calibration, stream_options(e));
    return run_on(inputs, decoder, calibration);
  }

  RunResult run_on(const ExperimentInputs& inputs, StepDecoder& decoder, StepDecoder& calibration) {
    return run_experiment(
        inputs, folder_,
        {.decoder = decoder,
         .calibration = calibration,
         .make_controller = make_controller_,
         .make_machine = make_machine_ ? make_machine_ : simulated_machines(inputs, decoder),
         .reset_peak_memory = [this] { return memory_.reset(); },
         .peak_memory_bytes = [this] { return memory_.peak(); },
         .progress = notes_,
         .stop = stop_,
         .on_tick = on_tick_});
  }

  static const StrategySummary& named(const RunResult& result, const std::string& name) {
    for (const StrategySummary& s : result.summary.strategies) {
      if (s.name == name) return s;
    }
    throw std::runtime_error("no " + name);
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / ("run_experiment." + std::to_string(::getpid())))
          .string();
  /// A column of metrics.csv for one strategy.
  std::vector<double> column(const std::string& strategy, Metric metric) const {
    CsvReader csv(folder_ + "/metrics.csv");
    std::vector<double> values;
    while (csv.next()) {
      if (csv.cell(0) == strategy) {
        values.push_back(csv.number(csv.need(column_name(metric))).value());
      }
    }
    return values;
  }

  std::function<std::unique_ptr<Controller>(const ControllerConfig&)> make_controller_ =
      controller_without_adapter;
  MachineFactory make_machine_{};  ///< empty: the simulated one
  Notes notes_{};
  Memory memory_{};
  SyntheticDecoder::Shape decoder_{};
  std::atomic<bool> stop_{false};
  std::function<void(const MetricsRow&)> on_tick_{};
};

}  // namespace thermoe
