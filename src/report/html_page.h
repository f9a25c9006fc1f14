// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// Text as it may stand in HTML, also within a quoted attribute.
std::string html_text(std::string_view text);

/// JSON as it may stand within a <script> of HTML: nothing in it can end the element or open a
/// comment, whatever the strings hold. Bytes that are no UTF-8 are replaced.
std::string script_json(const nlohmann::json& value);

/// What fills the one template of all pages: a file that holds its style, its scripts, the plot
/// library and the data, and asks the network for nothing.
struct HtmlPage {
  std::string kind{};      ///< "thermoe report"
  std::string title{};     ///< plain text
  std::string verdict{};   ///< HTML: what is to be read without a script
  std::string controls{};  ///< what the bar of buttons does, for screen readers
  std::string settings{};  ///< title of the last section
  nlohmann::json data{};
  std::vector<std::string_view> scripts{};
};
std::string html_page(const HtmlPage& page);

}  // namespace thermoe
