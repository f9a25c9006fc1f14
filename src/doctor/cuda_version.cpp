// SPDX-License-Identifier: Apache-2.0
#include "doctor/cuda_version.h"

#include <fmt/format.h>

#include "core/readable.h"

namespace thermoe::doctor {

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

int cuda_version_number(const std::string& text) {
  const std::vector<int> numbers = version_numbers(text);
  if (numbers.size() < 2 || numbers[0] > 999 || numbers[1] > 99) return 0;
  return 1000 * numbers[0] + 10 * numbers[1];
}

}  // namespace thermoe::doctor
