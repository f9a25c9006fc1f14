// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/snapshot.h"

namespace thermoe {

/// The newest snapshot of each source as one JSON object (thermoe.h): sensors by the names
/// of a recording's columns, absent ones null.
std::string readings_json(const std::vector<Snapshot>& snapshots, const std::string& source,
                          const std::vector<std::string>& problems, Seconds now);

}  // namespace thermoe
