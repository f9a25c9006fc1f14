// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/snapshot.h"

namespace thermoe {

/// Makes readings that cannot be true absent and `rejected`: NaN, infinity, and what lies outside
/// the range that its quantity can have (trace_columns.h). Returns what each said, as
/// "power_w 4294967, which cannot be (0 to 100000)".
std::vector<std::string> reject_impossible(GpuReading& gpu);
std::vector<std::string> reject_impossible(HostReading& host);

/// Does so for a source's snapshots, and says it once: a sensor's sentence stays in
/// `Snapshot::problems` as it was first told, while the sensor goes on and for a minute after.
class PlausibilityCheck {
 public:
  void apply(Snapshot& snapshot, Seconds now);

 private:
  struct Told {
    std::string words{};
    Seconds last{};  // when the sensor last said what cannot be
  };
  void tell(const std::string& sensor, const std::vector<std::string>& impossible, Seconds now);

  std::map<std::string, Told> told_;  // by sensor
};

}  // namespace thermoe
