// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe {

/// This machine's, as the label Hostname has it; empty where the system does not say.
std::string hostname();

}  // namespace thermoe
