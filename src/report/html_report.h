// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/html_page.h"
#include "report/run_data.h"

namespace thermoe {

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
