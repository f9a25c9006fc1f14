// SPDX-License-Identifier: Apache-2.0
#include "doctor/finding.h"

#include <fmt/format.h>

namespace thermoe::doctor {

const char* to_string(Status status) {
  switch (status) {
    case Status::kFound:
      return "found";
    case Status::kMissing:
      return "missing";
    case Status::kBroken:
      return "broken";
    case Status::kNotPermitted:
      return "not_permitted";
    case Status::kUnknown:
      break;
  }
  return "unknown";
}

std::optional<std::string> take_version(const VersionAnswer& answer, const std::string& program,
                                        Finding& finding) {
  finding.status = answer.version ? Status::kFound : Status::kBroken;
  finding.value = answer.version ? fmt::format("{} ({})", *answer.version, program) : program;
  finding.detail = answer.fault;
  return answer.version;
}

const Finding* find(const std::vector<Section>& sections, const std::string& id) {
  for (const Section& section : sections) {
    for (const Finding& finding : section.findings) {
      if (finding.id == id) return &finding;
    }
  }
  return nullptr;
}

}  // namespace thermoe::doctor
