// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe {

/// A made-up run, small and without meaning, of the files that a real one leaves.
struct SampleRun {
  std::string name = "sample";
  int ticks = 200;           ///< of each strategy, 0.1 s each
  double power_cap = 350;    ///< W; 0 = no target
  double energy_scale = 1;   ///< on all watts
  bool hostile = false;      ///< names and texts hold HTML and quotes
  bool killed = false;       ///< no summary.json, and the last line is torn
  bool routed_only = false;  ///< a recorded router: no text was decoded
  bool serves = false;       ///< requests arrive at its engine
  int rounds = 1;
  /// On a GPU that is not simulated: in its first second its power is not known, and where a tick
  /// took too long the next one is left out.
  bool real = false;
};

/// `plain`, `other` (another cap and scale), `trace` (a recorded router), `serving`, `rounds` (two
/// of them), `real`, `hostile`, `killed`.
SampleRun sample_run_named(const std::string& kind);

/// Writes config.json, metrics.csv, expert_usage.csv, expert_bias.csv, details.json, summary.json.
void write_sample_run(const std::string& folder, const SampleRun& sample);

}  // namespace thermoe
