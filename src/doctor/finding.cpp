// SPDX-License-Identifier: Apache-2.0
#include "doctor/finding.h"

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

const Finding* find(const std::vector<Section>& sections, const std::string& id) {
  for (const Section& section : sections) {
    for (const Finding& finding : section.findings) {
      if (finding.id == id) return &finding;
    }
  }
  return nullptr;
}

}  // namespace thermoe::doctor
