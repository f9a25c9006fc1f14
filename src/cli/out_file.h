// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe {

/// Whether a file that the work ends with could be written: better known now than after hours.
/// Throws UsageError naming --out where it could not, or would take another's place.
void check_out_file(const std::string& out);

}  // namespace thermoe
