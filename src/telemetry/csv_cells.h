// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// The cells of one line of CSV (RFC 4180, without its line break): a cell in double quotes may
/// hold commas, and quotes doubled. Empty if a quote is not closed.
std::optional<std::vector<std::string>> split_csv_line(std::string_view line);

/// The text as a cell: quoted where it holds a comma or a quote, line breaks made spaces.
std::string csv_cell(std::string_view text);

}  // namespace thermoe
