// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace thermoe::doctor {

/// CUDA's own numbers: 13010 is "13.1".
std::string cuda_version_text(int version);

/// "13.1" or "13.1.88" is 13010; 0 if the text is no version.
int cuda_version_number(const std::string& text);

}  // namespace thermoe::doctor
