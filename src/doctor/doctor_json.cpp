// SPDX-License-Identifier: Apache-2.0
#include "doctor/doctor_json.h"

#include <nlohmann/json.hpp>

#include "doctor/doctor_text.h"

namespace thermoe::doctor {
namespace {

constexpr int kSchema = 1;

/// Absent is null, never an empty string.
nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

nlohmann::json finding_json(const Finding& finding) {
  return {{"id", finding.id},
          {"title", finding.title},
          {"status", to_string(finding.status)},
          {"needed", finding.needed},
          {"value", text_or_null(finding.value)},
          {"detail", text_or_null(finding.detail)},
          {"enables", text_or_null(finding.enables)},
          {"remedy", text_or_null(finding.found() ? "" : finding.remedy)}};
}

}  // namespace

std::string to_json(const Diagnosis& diagnosis, const std::string& version) {
  nlohmann::json findings = nlohmann::json::array(), abilities = nlohmann::json::array();
  for (const Section& section : diagnosis.sections) {
    for (const Finding& finding : section.findings) findings.push_back(finding_json(finding));
  }
  for (const Ability& ability : diagnosis.abilities) {
    abilities.push_back({{"id", ability.id},
                         {"title", ability.title},
                         {"possible", ability.possible},
                         {"reason", text_or_null(ability.reason)}});
  }
  using Json = nlohmann::json;
  const Json all = {{"schema", kSchema},
                    {"thermoe", version},
                    {"healthy", diagnosis.healthy()},
                    {"summary", summary_line(diagnosis)},
                    {"abilities", abilities},
                    {"findings", findings}};
  // Text of other programs and of the system may be in any encoding; JSON is UTF-8.
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace thermoe::doctor
