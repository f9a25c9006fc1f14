// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_data.h"

namespace thermoe {

/// Text as it may stand in HTML, also within a quoted attribute.
std::string html_text(std::string_view text);

/// JSON as it may stand within a <script> of HTML: nothing in it can end the element or open a
/// comment, whatever the strings hold. Bytes that are no UTF-8 are replaced.
std::string script_json(const nlohmann::json& value);

/// A page about one run, or about two side by side: one file that holds its style, its scripts, the
/// plot library and the data, and asks the network for nothing. Requires one or two runs.
std::string html_report(const std::vector<RunData>& runs, const std::string& version);

/// Reads the folders (one or two) and writes their report to `path`, whole or not at all. Throws
/// UsageError, FormatError, WriteError.
void write_html_report(const std::vector<std::string>& folders, const std::string& path,
                       const std::string& version);

/// Where a report lies unless somebody says otherwise: report.html in the folder of the run, or of
/// the first of two.
std::string default_report_path(const std::vector<std::string>& folders);

}  // namespace thermoe
